; PASSES: godwit-place-points
; A call of godwit_adaptation_point() is a point; a loop all of whose rounds pass one gets no other.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
declare void @__godwit_adaptation_point()

; CHECK-LABEL: define void @each_round
; CHECK-NOT: call void @__godwit_adaptation_point
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: call void @__godwit_poll()
; CHECK-NOT: __godwit_request
; CHECK: ret void
define void @each_round(ptr %p) {
entry:
  br label %loop
loop:
  call void @__godwit_adaptation_point()
  %more = load volatile i1, ptr %p
  br i1 %more, label %loop, label %done
done:
  ret void
}

; CHECK-LABEL: define void @some_rounds
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret void
define void @some_rounds(ptr %p) {
entry:
  br label %loop
loop:
  %here = load volatile i1, ptr %p
  br i1 %here, label %point, label %next
point:
  call void @__godwit_adaptation_point()
  br label %next
next:
  %more = load volatile i1, ptr %p
  br i1 %more, label %loop, label %done
done:
  ret void
}

; CHECK-LABEL: define void @no_loop
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret void
define void @no_loop() {
  call void @__godwit_adaptation_point()
  ret void
}
