; PASSES: godwit-lower-varargs
; A variadic function gets a pointer to slots; a call fills them: 8 bytes each, 16-byte values aligned to 16, small integers
; widened as their attribute says.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; CHECK: define i32 @sum(i32 %n, ptr %slots)
; CHECK: store ptr %slots, ptr %ap
; CHECK-NOT: va_end
define i32 @sum(i32 %n, ...) {
  %ap = alloca ptr
  call void @llvm.va_start.p0(ptr %ap)
  %next = load ptr, ptr %ap
  %first = load i32, ptr %next
  call void @llvm.va_end.p0(ptr %ap)
  ret i32 %first
}

; CHECK-LABEL: define i32 @caller
; CHECK: %slots = alloca [48 x i8], align 16
; CHECK: sext i32 %x to i64
; CHECK: getelementptr inbounds i8, ptr %slots, i64 16
; CHECK-NEXT: store fp128 %y, {{.*}} align 8
; CHECK: getelementptr inbounds i8, ptr %slots, i64 32
; CHECK: zext i8 %z to i64
; CHECK: call i32 @sum(i32 2, ptr %slots)
define i32 @caller(i32 %x, fp128 %y, i8 %z, double %d) {
  %r = call i32 (i32, ...) @sum(i32 2, i32 signext %x, fp128 %y, double %d, i8 zeroext %z)
  ret i32 %r
}

; What isn't given is zero: six slots are always there.
; CHECK-LABEL: define i32 @nothing_variable
; CHECK-COUNT-6: store i64 0
; CHECK: call i32 @sum(i32 0, ptr %slots)
define i32 @nothing_variable() {
  %r = call i32 (i32, ...) @sum(i32 0)
  ret i32 %r
}

; CHECK-LABEL: define i32 @through_a_pointer
; CHECK: call i32 %f(i32 1, ptr %slots)
define i32 @through_a_pointer(ptr %f) {
  %r = call i32 (i32, ...) %f(i32 1, i64 5)
  ret i32 %r
}

; CHECK-LABEL: define void @copies
; CHECK: [[V:%.*]] = load ptr, ptr %from
; CHECK: store ptr [[V]], ptr %to
define void @copies(ptr %to, ptr %from) {
  call void @llvm.va_copy.p0(ptr %to, ptr %from)
  ret void
}
