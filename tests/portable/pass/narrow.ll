; PASSES: godwit-adapt-narrow
; A pointer is a number of 64 bits; only where memory is accessed does it become an address.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
%pair = type { i8, ptr }

; CHECK: @pair = global <{ [8 x i8], i32, [4 x i8] }> <{ [8 x i8] c"\05\00\00\00\00\00\00\00", i32 ptrtoint (ptr getelementptr (i8, ptr @pair, i64 8) to i32), [4 x i8] zeroinitializer }>
@pair = global %pair { i8 5, ptr getelementptr (%pair, ptr @pair, i64 0, i32 1) }
; CHECK: @nowhere = global [8 x i8] c"\FF\FF\FF\FF\FF\FF\FF\FF"
@nowhere = global ptr inttoptr (i64 -1 to ptr)
@__godwit_sp = external thread_local(localexec) global ptr
declare i64 @strlen(ptr nonnull)
declare ptr @__godwit_push(i64)
declare dso_local i64 @__godwit_to_strlen(ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

; CHECK-LABEL: define i64 @next(i64 %p, i64 %i)
; CHECK: [[OFFSET:%.*]] = add
; CHECK: [[AT:%.*]] = inttoptr i64 %{{.*}} to ptr
; CHECK: load i64, ptr [[AT]], align 8
; CHECK: phi i64 [ %{{.*}}, %far ], [ 0, %entry ]
; CHECK: icmp eq i64
; CHECK: ret i64
define ptr @next(ptr nonnull %p, i64 %i) {
entry:
  %null = icmp eq ptr %p, null
  br i1 %null, label %end, label %far
far:
  %at = getelementptr %pair, ptr %p, i64 %i, i32 1
  %v = load ptr, ptr %at, align 8
  br label %end
end:
  %r = phi ptr [ %v, %far ], [ null, %entry ]
  %same = icmp eq ptr %r, inttoptr (i64 -1 to ptr)
  %chosen = select i1 %same, ptr @pair, ptr %r
  ret ptr %chosen
}

; The words of the runtime are as wide as its addresses.
; CHECK-LABEL: define i64 @words()
; CHECK: [[SP:%.*]] = load ptr, ptr @__godwit_sp, align 4
; CHECK: ptrtoint ptr [[SP]] to i64
; CHECK: [[FRAME:%.*]] = call ptr @__godwit_push(i64 32)
; CHECK: [[NUMBER:%.*]] = ptrtoint ptr [[FRAME]] to i64
; CHECK: store ptr %{{.*}}, ptr @__godwit_sp, align 4
define ptr @words() {
  %sp = load ptr, ptr @__godwit_sp, align 8
  %frame = call ptr @__godwit_push(i64 32)
  store ptr %frame, ptr @__godwit_sp, align 8
  ret ptr %sp
}

; Native functions have sizes of 32 bits, neutral ones don't.
; CHECK-LABEL: define i64 @calls(i64 %p, i64 %f)
; CHECK: [[LENGTH:%.*]] = call i32 @strlen(ptr %{{.*}})
; CHECK: zext i32 [[LENGTH]] to i64
; CHECK: call void @llvm.memset.p0.i32(ptr %{{.*}}, i8 0, i32 %{{.*}}, i1 false)
; CHECK: call i64 @next(i64 ptrtoint (ptr @pair to i64), i64
; CHECK: [[CALLEE:%.*]] = inttoptr i64 %f to ptr
; CHECK: call i64 [[CALLEE]](i64 %p)
define i64 @calls(ptr %p, ptr %f) {
  %v = alloca %pair
  %n = call i64 @strlen(ptr nonnull %p)
  call void @llvm.memset.p0.i64(ptr %v, i8 0, i64 %n, i1 false)
  %a = call ptr @next(ptr @pair, i64 %n)
  %b = call i64 %f(ptr %p)
  %c = ptrtoint ptr %a to i64
  %d = add i64 %b, %c
  ret i64 %d
}

; What the thunk of a native function leads to.
; CHECK-LABEL: define i64 @__godwit_wide_strlen(i64 %0)
; CHECK: inttoptr i64 %0 to ptr
; CHECK: call i32 @strlen(
; CHECK: ret i64
define ptr @taken() {
  ret ptr @__godwit_to_strlen
}
