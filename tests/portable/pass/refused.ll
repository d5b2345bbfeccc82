; PASSES: godwit-build-frames
; FAILS
; What can't be carried is an error at its place, not wrong code.
; CHECK: error: {{.*}}setjmp isn't carried yet
define i32 @jumps(ptr %b) {
  %r = call i32 @setjmp(ptr %b) returns_twice
  call void @__godwit_poll()
  ret i32 %r
}
define i32 @setjmp(ptr %b) {
  call void @__godwit_poll()
  ret i32 0
}
declare void @__godwit_poll()
