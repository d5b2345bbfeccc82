; PASSES: godwit-build-frames
; What a function saves at a call: what it needs after it, nothing else. What only the callee needs isn't given back.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
declare void @__godwit_poll()
declare i64 @__godwit_syscall(i64, i64, i64, i64, i64, i64, i64)

define i32 @stops(i32 noundef %x) {
  call void @__godwit_poll()
  ret i32 %x
}

; %kept is live after the call, %given only before it.
; CHECK-LABEL: define i32 @across(
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: br i1 %{{.*}}, label %asked, label
; CHECK: phi i32 [ undef, %restore.0 ], [ %given,
; CHECK: phi i32 [ [[KEPT:%.*]], %restore.0 ], [ %kept,
; CHECK: call i32 @stops(
; CHECK: icmp ne i32
; CHECK: br i1 %{{.*}}, label %save.0
; CHECK: save:
; CHECK: [[SITE:%.*]] = phi i64 [ [[NUMBER:%.*]], %save.0 ]
; CHECK: call ptr @__godwit_save(i64 16, i64 [[SITE]])
; CHECK: store i32
; CHECK-NOT: store
; CHECK: ret i32 poison
; CHECK: restore:
; CHECK: call ptr @__godwit_pop()
; CHECK: [[KEPT]] = load i32
; CHECK: load i64
; CHECK: i64 0, label %restore.0
; CHECK: save.0:
; CHECK: [[NUMBER]] = call i64 asm sideeffect "", "=r,0"(i64 0)
; CHECK: restore.0:
; CHECK-NOT: load
; CHECK: br label
define i32 @across(i32 %a) {
  %kept = mul i32 %a, 5
  %given = mul i32 %a, 3
  %r = call i32 @stops(i32 noundef %given)
  %sum = add i32 %r, %kept
  ret i32 %sum
}

; A system call is made again, with its arguments.
; CHECK-LABEL: define i64 @blocks(
; CHECK: save:
; CHECK: phi i64 [ %fd
; CHECK: phi i64 [ %buffer
; CHECK: call ptr @__godwit_save(i64 32, i64
define i64 @blocks(i64 %fd, i64 %buffer) {
  %r = call i64 @__godwit_syscall(i64 63, i64 %fd, i64 %buffer, i64 4096, i64 0, i64 0, i64 0)
  ret i64 %r
}

; A variable whose address is taken lies in the arena; the stack pointer goes back on every way out.
; CHECK-LABEL: define i32 @variable(
; CHECK: %godwit.base = load ptr, ptr @__godwit_sp
; CHECK: getelementptr inbounds i8, ptr %godwit.base, i64 16
; CHECK: store ptr %{{.*}}, ptr @__godwit_sp
; CHECK: load i32, ptr @__godwit_state
; CHECK: store ptr %godwit.base, ptr @__godwit_sp
; CHECK: ret i32
; CHECK: save:
; CHECK: store ptr %godwit.base, ptr @__godwit_sp
; CHECK-NEXT: ret i32 poison
define i32 @variable() {
  %v = alloca i32
  store i32 1, ptr %v
  call void @takes(ptr %v)
  %r = load i32, ptr %v
  ret i32 %r
}
define void @takes(ptr %p) noinline {
  call void @__godwit_poll()
  store i32 2, ptr %p
  ret void
}

; Nothing of a function that can't stop changes.
; CHECK-LABEL: define i32 @leaf(
; CHECK-NEXT: mul
; CHECK-NEXT: ret
define i32 @leaf(i32 %a) {
  %r = mul i32 %a, %a
  ret i32 %r
}

; An alloca of variable size moves the stack pointer, which is then part of the frame.
; CHECK-LABEL: define i32 @dynamic(
; CHECK: save:
; CHECK: [[SP:%.*]] = load ptr, ptr @__godwit_sp
; CHECK: store ptr [[SP]]
; CHECK: restore:
; CHECK: store ptr %{{.*}}, ptr @__godwit_sp
define i32 @dynamic(i64 %n) {
  %v = alloca i32, i64 %n
  call void @takes(ptr %v)
  %r = load i32, ptr %v
  ret i32 %r
}

; Two sites, one block that saves and one that restores. Values that aren't needed at the same time share a place: 8 bytes for the
; number, 4 for %x and then for %y, 4 more to make it 16.
; CHECK-LABEL: define i32 @share(
; CHECK: save:
; CHECK: phi i32 [ %x{{.*}}, %save.0 ], [ %y{{.*}}, %save.1 ]
; CHECK: call ptr @__godwit_save(i64 16, i64
; CHECK-NOT: @__godwit_save
; CHECK: ret i32 poison
; CHECK: restore:
; CHECK: load i32
; CHECK-NOT: load i32
; CHECK: switch i64
; CHECK: i64 1, label %restore.1
define i32 @share(i32 %a) {
  %x = mul i32 %a, 5
  call void @__godwit_poll()
  %y = mul i32 %x, %x
  call void @__godwit_poll()
  ret i32 %y
}
