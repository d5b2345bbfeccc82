; PASSES: godwit-place-points,godwit-build-frames
; One look at the request word serves restoring and the point of a recursive function; its state tells which it is.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; CHECK-LABEL: define i32 @recursive(
; CHECK: [[REQUEST:%.*]] = load atomic i32, ptr @__godwit_request monotonic
; CHECK-NEXT: [[ANY:%.*]] = icmp ne i32 [[REQUEST]], 0
; CHECK-NEXT: br i1 [[ANY]], label %asked,
; CHECK-NOT: load atomic
; CHECK: asked:
; CHECK-NEXT: [[STATE:%.*]] = load i32, ptr @__godwit_state
; CHECK-NEXT: [[RESTORING:%.*]] = icmp eq i32 [[STATE]], 2
; CHECK-NEXT: br i1 [[RESTORING]], label %restore, label %[[POINT:.*]]
define i32 @recursive(i32 %n) {
  %end = icmp slt i32 %n, 1
  br i1 %end, label %done, label %more
more:
  %less = mul i32 %n, %n
  %r = call i32 @recursive(i32 %less)
  br label %done
done:
  %v = phi i32 [ 1, %0 ], [ %r, %more ]
  ret i32 %v
}

; Without one, the body is gone on with.
; CHECK-LABEL: define i32 @caller(
; CHECK-NEXT: [[REQUEST:%.*]] = load atomic i32, ptr @__godwit_request monotonic
; CHECK-NEXT: [[ANY:%.*]] = icmp ne i32 [[REQUEST]], 0
; CHECK-NEXT: br i1 [[ANY]], label %asked, label %[[BODY:.*]], !prof
; CHECK: asked:
; CHECK: br i1 {{.*}}, label %restore, label %[[BODY]]
define i32 @caller(i32 %a) {
  %r = call i32 @recursive(i32 %a)
  ret i32 %r
}
