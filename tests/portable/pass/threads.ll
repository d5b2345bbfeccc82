; PASSES: godwit-lower-threads
; Thread-local variables are offsets from the thread pointer; their initial content is one constant without gaps left open.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; CHECK-NOT: @small
; CHECK: @godwit.tls.image = internal constant <{ i8, [7 x i8], i64, i32, [12 x i8] }> <{ i8 3, [7 x i8] zeroinitializer, i64 -1, i32 0, [12 x i8] zeroinitializer }>, align 16
@small = thread_local global i8 3
@large = internal thread_local global i64 -1
@zero = thread_local(localexec) global i32 0

; CHECK-LABEL: define i64 @read
; CHECK: [[T:%.*]] = load ptr, ptr @__godwit_tp
; CHECK: getelementptr i8, ptr [[T]], i64 -24
; CHECK: load i64
define i64 @read() {
  %p = call ptr @llvm.threadlocal.address.p0(ptr @large)
  %v = load i64, ptr %p
  ret i64 %v
}

; CHECK-LABEL: define ptr @first
; CHECK: getelementptr i8, ptr %{{.*}}, i64 -32
define ptr @first() {
  %p = call ptr @llvm.threadlocal.address.p0(ptr @small)
  ret ptr %p
}
