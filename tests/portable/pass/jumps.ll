; PASSES: godwit-lower-jumps
; setjmp becomes edges: stores into the buffer, a way from each call back behind it, and a way out for jumps to callers.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
@godwit_jump = external thread_local global { i64, i64, i32 }
declare i32 @setjmp(ptr) returns_twice
declare void @may_jump()

; CHECK: define i32 @catches(ptr %b) #[[NOINLINE:[0-9]+]]
; CHECK: %activation = call i64 @__godwit_new_activation()
; CHECK-NEXT: store i64 %activation, ptr %b
; CHECK-NOT: call i32 @setjmp
; CHECK: behind:
; CHECK: %result = phi i32 [ 0, %{{.*}} ], [ %{{.*}}, %jumped.here ]
; CHECK: call void @may_jump() #[[LOOKED:[0-9]+]]
; CHECK: icmp eq i32 %{{.*}}, 4
; CHECK: br i1 %{{.*}}, label %jumped, label
; CHECK: jumped:
; CHECK: icmp eq i64 %{{.*}}, %activation
; CHECK: jumped.here:
; CHECK: store i32 0, ptr @__godwit_state
; CHECK: switch i64 %{{.*}}, label %jumped.further
; CHECK: jumped.further:
; CHECK-NEXT: ret i32 0, !godwit.leaves
; CHECK: attributes #[[NOINLINE]] = { noinline }
; CHECK: attributes #[[LOOKED]] = { noinline "godwit-looked-after" }
define i32 @catches(ptr %b) {
  %r = call i32 @setjmp(ptr %b)
  call void @may_jump()
  ret i32 %r
}
