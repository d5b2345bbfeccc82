; PASSES: godwit-lower-exceptions
; Throwing is a value of the state word: invokes become calls with a look behind them, landing pads ask which clause fits.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@type = constant ptr null
declare i32 @personality(...)
define void @__godwit_raise(ptr %object) noinline optnone {
  ret void
}
define void @throws(ptr %object) {
  call void @__godwit_raise(ptr %object)
  ret void
}

; CHECK: define void @__godwit_raise(ptr %object)
; CHECK-NEXT: store i32 3, ptr @__godwit_state
; CHECK-NEXT: ret void
; CHECK-LABEL: define void @throws
; CHECK: call void @__godwit_raise(ptr %object)
; CHECK: icmp ugt i32 %{{.*}}, 2
; CHECK: leave:
; CHECK-NEXT: ret void, !godwit.leaves

; CHECK-LABEL: define i32 @catches(ptr %object) {
; CHECK-NOT: invoke
; CHECK: call void @throws(ptr %object)
; CHECK: icmp ugt i32 %{{.*}}, 2
; CHECK: br i1 %{{.*}}, label %pad, label %normal
; CHECK: pad:
; CHECK: store i32 0, ptr @__godwit_state
; CHECK: %selector = call i32 @__godwit_land(ptr @clauses, i64 1)
; CHECK: %object1 = call ptr @__godwit_exception_object()
; CHECK: br i1 %{{.*}}, label %uncaught, label
; CHECK: icmp eq i32 %{{.*}}, ptrtoint (ptr @type to i32)
; CHECK: uncaught:
; CHECK-NEXT: call void @__godwit_raise(ptr %object1)
define i32 @catches(ptr %object) personality ptr @personality {
  invoke void @throws(ptr %object) to label %normal unwind label %pad
normal:
  ret i32 0
pad:
  %p = landingpad { ptr, i32 } catch ptr @type
  %s = extractvalue { ptr, i32 } %p, 1
  %t = call i32 @llvm.eh.typeid.for(ptr @type)
  %is = icmp eq i32 %s, %t
  %r = zext i1 %is to i32
  ret i32 %r
}

; What can't throw is called as before.
; CHECK-LABEL: define void @quiet
; CHECK-NEXT: call void @nothing()
; CHECK-NEXT: ret void
define void @nothing() nounwind {
  ret void
}
define void @quiet() {
  call void @nothing()
  ret void
}

; A function that LLVM knows not to return is followed by a look all the same.
; CHECK-LABEL: define i32 @calls_what_only_throws
; CHECK: call void @only_throws
; CHECK: icmp ugt i32
; CHECK: call i32 @__godwit_land
define i32 @calls_what_only_throws(ptr %object) personality ptr @personality {
  invoke void @only_throws(ptr %object) to label %never unwind label %pad
never:
  unreachable
pad:
  %p = landingpad { ptr, i32 } catch ptr null
  ret i32 1
}
define void @only_throws(ptr %object) noreturn {
  call void @__godwit_raise(ptr %object)
  unreachable
}

; A violated exception specification has a negative selector; what comes first in the source has the last word.
; CHECK-LABEL: define i32 @specified
; CHECK: [[LATER:%.*]] = call i32 @__godwit_land(ptr @clauses{{.*}}, i64 1)
; CHECK: [[FILTER:%.*]] = call i32 @__godwit_filter(ptr @clauses{{.*}}, i64 2)
; CHECK: sub i32 0, [[FILTER]]
; CHECK: [[FIRST:%.*]] = call i32 @__godwit_land(ptr @clauses{{.*}}, i64 2)
; CHECK: icmp ne i32 [[FIRST]], 0
; CHECK: select i1 %{{.*}}, i32 [[FIRST]], i32
define i32 @specified(ptr %object) personality ptr @personality {
  invoke void @throws(ptr %object) to label %normal unwind label %pad
normal:
  ret i32 0
pad:
  %p = landingpad { ptr, i32 } catch ptr @type catch ptr @type filter [2 x ptr] [ptr @type, ptr @type] catch ptr null
  %s = extractvalue { ptr, i32 } %p, 1
  ret i32 %s
}
