; PASSES: godwit-adapt-big-endian
; Memory stays little-endian and laid out as here: loads and stores turn bytes over, what depends on the layout becomes offsets.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
%pair = type { i8, i64 }

; CHECK: @numbers = global [16 x i8] c"\05\00\00\00\00\00\00\00\02\01\00\00\00\00\00\00"
@numbers = global %pair { i8 5, i64 258 }
; The linker writes addresses. They are listed, and nothing is computed from them.
; CHECK: @pointer = externally_initialized constant <{ i64, [8 x i8] }> <{ i64 ptrtoint (ptr getelementptr (i8, ptr @numbers, i64 8) to i64), [8 x i8] c"\01\00\00\00\00\00\00\00" }>
@pointer = constant { ptr, i32 } { ptr getelementptr (%pair, ptr @numbers, i64 0, i32 1), i32 1 }
; CHECK: @nowhere = global [8 x i8] c"\FF\FF\FF\FF\FF\FF\FF\FF"
@nowhere = global ptr inttoptr (i64 -1 to ptr)
; CHECK: @godwit.swaps = internal constant [2 x i64] [i64 ptrtoint (ptr @pointer to i64), i64 8], section ".godwit.swaps"
@__godwit_state = external thread_local(localexec) global i32
@__godwit_tp = external thread_local(localexec) global ptr

; CHECK-LABEL: define i64 @member(
; CHECK: [[AT:%.*]] = getelementptr i8, ptr %p, i64 %{{.*}}
; CHECK: [[RAW:%.*]] = load i64, ptr %{{.*}}, align 8, !tbaa
; CHECK: call i64 @llvm.bswap.i64(i64 [[RAW]])
define i64 @member(ptr %p, i64 %i) {
  %at = getelementptr %pair, ptr %p, i64 %i, i32 1
  %v = load i64, ptr %at, align 8, !tbaa !0
  ret i64 %v
}

; CHECK-LABEL: define void @floating(
; CHECK: [[BITS:%.*]] = bitcast double %v to i64
; CHECK: [[TURNED:%.*]] = call i64 @llvm.bswap.i64(i64 [[BITS]])
; CHECK: store i64 [[TURNED]], ptr %p, align 8
; CHECK: [[WORD:%.*]] = ptrtoint ptr %p to i64
; CHECK: call i64 @llvm.bswap.i64(i64 [[WORD]])
; A byte is a byte.
; CHECK: store i8 1, ptr %p
define void @floating(ptr %p, double %v) {
  store double %v, ptr %p, align 8
  store ptr %p, ptr %p, align 8
  store i8 1, ptr %p
  ret void
}

; A member at a time, and a bit field byte by byte.
; CHECK-LABEL: define %pair @both(
; CHECK: load i8, ptr %p, align 8
; CHECK: getelementptr inbounds i8, ptr %p, i64 8
; CHECK: load i64
; CHECK: bswap
; CHECK: trunc i24 %{{.*}} to i8
; CHECK: lshr i24 %odd, 8
; CHECK: lshr i24 %odd, 16
define %pair @both(ptr %p, i24 %odd) {
  %v = load %pair, ptr %p, align 8
  store i24 %odd, ptr %p, align 1
  ret %pair %v
}

; The runtime's words are native.
; CHECK-LABEL: define ptr @words(
; CHECK-NEXT: entry:
; CHECK-NEXT: load i32, ptr @__godwit_state
; CHECK-NEXT: br i1 %which, label %a, label %entry.b_crit_edge
; CHECK: bswap
; CHECK: a:
; CHECK-NEXT: load ptr, ptr @__godwit_tp
; CHECK-NEXT: br label %b
; CHECK: phi ptr
define ptr @words(ptr %other, i1 %which) {
entry:
  %state = load i32, ptr @__godwit_state
  br i1 %which, label %a, label %b
a:
  br label %b
b:
  %from = phi ptr [ @__godwit_tp, %a ], [ %other, %entry ]
  %v = load ptr, ptr %from
  ret ptr %v
}

; CHECK-LABEL: define i32 @atomics(
; CHECK: atomicrmw or ptr %p, i32 %{{.*}} seq_cst
; CHECK: load atomic i32, ptr %p monotonic
; CHECK: again:
; CHECK: [[OLD:%.*]] = call i32 @llvm.bswap.i32(
; CHECK: add i32 [[OLD]], 1
; CHECK: cmpxchg ptr %p, i32 %{{.*}}, i32 %{{.*}} acq_rel acquire
; CHECK: cmpxchg weak volatile ptr %p, i32
; CHECK: [[SEEN:%.*]] = call i32 @llvm.bswap.i32(
; CHECK: insertvalue { i32, i1 } poison, i32 [[SEEN]], 0
define i32 @atomics(ptr %p) {
  %a = atomicrmw or ptr %p, i32 7 seq_cst
  %b = atomicrmw add ptr %p, i32 1 acq_rel
  %c = cmpxchg weak volatile ptr %p, i32 1, i32 2 seq_cst monotonic
  %d = extractvalue { i32, i1 } %c, 0
  ret i32 %d
}

; Which element of a vector comes first is a matter of the byte order.
; CHECK-LABEL: define i32 @elements(
; CHECK: [[TURNED:%.*]] = shufflevector <4 x i8> %v, <4 x i8> poison, <4 x i32> <i32 3, i32 2, i32 1, i32 0>
; CHECK: bitcast <4 x i8> [[TURNED]] to i32
define i32 @elements(<4 x i8> %v) {
  %n = bitcast <4 x i8> %v to i32
  ret i32 %n
}

!0 = !{!1, !1, i64 0}
!1 = !{!"long", !2, i64 0}
!2 = !{!"root"}

; CHECK-LABEL: define double @lengthened(
; CHECK: %[[A:.*]] = fpext float %a to double
; CHECK: %[[HIDDEN:.*]] = call double asm "", "=f,0"(double %[[A]])
; CHECK: fmul double %[[HIDDEN]], %[[B:.*]]
define double @lengthened(float %a, float %b) {
  %x = fpext float %a to double
  %y = fpext float %b to double
  %product = fmul double %x, %y
  ret double %product
}
