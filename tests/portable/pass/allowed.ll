; PASSES: godwit-prepare,godwit-place-points,godwit-check-allowed
; FAILS
; A function with GODWIT_ALLOW keeps its assembly and has no points; it may call nothing that can stop.
; CHECK-NOT: in function ticks
; CHECK: error: {{.*}}in function waits {{.*}}: a function with GODWIT_ALLOW isn't left for a move
; CHECK-NOT: in function
declare i64 @__godwit_syscall(i64, i64, i64, i64, i64, i64, i64)
@word = private constant [14 x i8] c"godwit::allow\00", section "llvm.metadata"
@file = private constant [4 x i8] c"a.c\00", section "llvm.metadata"
@llvm.global.annotations = appending global [2 x { ptr, ptr, ptr, i32, ptr }] [
  { ptr, ptr, ptr, i32, ptr } { ptr @ticks, ptr @word, ptr @file, i32 1, ptr null },
  { ptr, ptr, ptr, i32, ptr } { ptr @waits, ptr @word, ptr @file, i32 2, ptr null }], section "llvm.metadata"

define i64 @ticks(ptr %p) {
entry:
  br label %loop
loop:
  call void asm sideeffect "pause", ""()
  %more = load volatile i1, ptr %p
  br i1 %more, label %loop, label %done
done:
  ret i64 0
}
define i64 @waits() {
  %r = call i64 @__godwit_syscall(i64 63, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0)
  ret i64 %r
}
define i64 @main(ptr %p) {
  %a = call i64 @ticks(ptr %p)
  %b = call i64 @waits()
  ret i64 %b
}
