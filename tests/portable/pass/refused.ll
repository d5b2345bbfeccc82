; PASSES: godwit-build-frames
; FAILS
; What can't be carried is an error at its place, not wrong code.
; CHECK: error: {{.*}}a function that returns twice
define i32 @jumps(ptr %b) {
  %r = call i32 @vfork_like(ptr %b) returns_twice
  call void @__godwit_poll()
  ret i32 %r
}
define i32 @vfork_like(ptr %b) {
  call void @__godwit_poll()
  ret i32 0
}
declare void @__godwit_poll()
