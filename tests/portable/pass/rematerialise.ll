; PASSES: godwit-build-frames
; What is had from one other value by a cheap operation is computed again after a call, not saved.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
declare void @__godwit_poll()
declare void @use(ptr)

; Only %p is saved, for the two addresses and the sum that hang on it.
; CHECK-LABEL: define i64 @chain(
; CHECK: save:
; CHECK: phi i64
; CHECK: phi ptr [ %p
; CHECK-NOT: phi
; CHECK: call ptr @__godwit_save(i64 16, i64
; CHECK: ret i64 poison
define i64 @chain(ptr %p) {
  %outer = getelementptr i8, ptr %p, i64 40
  %inner = getelementptr i8, ptr %outer, i64 8
  %number = ptrtoint ptr %inner to i64
  %more = add i64 %number, 7
  call void @use(ptr %outer)
  call void @__godwit_poll()
  %value = load i64, ptr %inner
  %sum = add i64 %value, %more
  ret i64 %sum
}

; A part of a variable in the arena needs nothing at all.
; CHECK-LABEL: define i64 @part(
; CHECK: save:
; CHECK: call ptr @__godwit_save(i64 16, i64
; CHECK-NEXT: store ptr %godwit.base, ptr @__godwit_sp
define i64 @part() {
  %v = alloca [4 x i64]
  %second = getelementptr i8, ptr %v, i64 8
  store i64 1, ptr %second
  call void @__godwit_poll()
  %value = load i64, ptr %second
  ret i64 %value
}

; An argument of a system call stays with the call: it is made again with what its frame holds.
; CHECK-LABEL: define i64 @argument(
; CHECK: call void @__godwit_poll()
; CHECK: %next{{.*}} = getelementptr
; CHECK: save:
; CHECK: phi ptr [ %p{{.*}}, %save.0 ], [ poison, %save.1 ]
; CHECK: phi i64 [ poison, %save.0 ], [ %address{{.*}}, %save.1 ]
define i64 @argument(ptr %p) {
  %next = getelementptr i8, ptr %p, i64 8
  %address = ptrtoint ptr %next to i64
  call void @__godwit_poll()
  %r = call i64 @__godwit_syscall(i64 63, i64 0, i64 %address, i64 1, i64 0, i64 0, i64 0)
  ret i64 %r
}
declare i64 @__godwit_syscall(i64, i64, i64, i64, i64, i64, i64)

; What takes two values, or is dear, is saved.
; CHECK-LABEL: define i32 @kept(
; CHECK: save:
; CHECK-DAG: phi i32 [ %sum
; CHECK-DAG: phi i32 [ %product
; CHECK: ret i32 poison
define i32 @kept(i32 %a, i32 %b) {
  %sum = add i32 %a, %b
  %product = mul i32 %a, 3
  call void @__godwit_poll()
  %r = xor i32 %sum, %product
  ret i32 %r
}
