; PASSES: godwit-place-points
; Where points go: not into a countable innermost loop that calls nothing, but around it; to the ends of recursive functions.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; CHECK-LABEL: define double @countable
; CHECK-NOT: __godwit_request
; CHECK: ret double
define double @countable(ptr %a, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %s = phi double [ 0.0, %entry ], [ %t, %loop ]
  %p = getelementptr double, ptr %a, i64 %i
  %v = load double, ptr %p
  %t = fadd double %s, %v
  %next = add nuw nsw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret double %t
}

; A walk along a list has no bound.
; CHECK-LABEL: define i64 @list
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: call void @__godwit_poll()
define i64 @list(ptr %head) {
entry:
  br label %loop
loop:
  %p = phi ptr [ %head, %entry ], [ %next, %loop ]
  %n = phi i64 [ 0, %entry ], [ %m, %loop ]
  %m = add i64 %n, 1
  %next = load ptr, ptr %p
  %end = icmp eq ptr %next, null
  br i1 %end, label %done, label %loop
done:
  ret i64 %m
}

; CHECK-LABEL: define i64 @of_the_library
; CHECK-NOT: __godwit_request
; CHECK: ret i64
define i64 @of_the_library(ptr %head) "godwit-leaf" {
entry:
  br label %loop
loop:
  %p = phi ptr [ %head, %entry ], [ %next, %loop ]
  %next = load ptr, ptr %p
  %end = icmp eq ptr %next, null
  br i1 %end, label %done, label %loop
done:
  ret i64 0
}

; CHECK-LABEL: define i32 @recursive
; CHECK: call i32 @recursive
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret i32
define i32 @recursive(i32 %n) {
  %end = icmp slt i32 %n, 1
  br i1 %end, label %done, label %more
more:
  %less = sub i32 %n, 1
  %r = call i32 @recursive(i32 %less)
  br label %done
done:
  %v = phi i32 [ 1, %0 ], [ %r, %more ]
  ret i32 %v
}

; A loop that is entered in two places.
; CHECK-LABEL: define i64 @two_ways_in
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret i64
define i64 @two_ways_in(i1 %which, ptr %p) {
entry:
  br i1 %which, label %a, label %b
a:
  %x = phi i64 [ 0, %entry ], [ %z, %b ]
  %y = add i64 %x, 1
  br label %b
b:
  %w = phi i64 [ 7, %entry ], [ %y, %a ]
  %z = mul i64 %w, 3
  %more = load volatile i1, ptr %p
  br i1 %more, label %a, label %done
done:
  ret i64 %z
}

; A round that ends with a look for a jump (lower_jumps.cc): the point comes behind the look, on the way without a jump.
@__godwit_state = external thread_local global i32
declare void @may_jump()
; CHECK-LABEL: define void @ends_with_a_look
; CHECK: call void @may_jump()
; CHECK-NEXT: %[[STATE:.*]] = load i32, ptr @__godwit_state
; CHECK-NEXT: %[[JUMPING:.*]] = icmp eq i32 %[[STATE]], 4
; CHECK-NEXT: br i1 %[[JUMPING]], label %jumped, label %[[ON:.*]]
; CHECK: [[ON]]:
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret void
define void @ends_with_a_look() {
  br label %loop
loop:
  call void @may_jump()
  %state = load i32, ptr @__godwit_state
  %jumping = icmp eq i32 %state, 4
  br i1 %jumping, label %jumped, label %loop
jumped:
  ret void
}
