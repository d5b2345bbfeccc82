; PASSES: godwit-prepare
; FAILS
; Inline assembly is an error, but for an empty one, which only keeps a compiler from moving things.
; CHECK: error: {{.*}}in function spins void (): inline assembly is for one processor
; CHECK-NOT: in function barrier
define void @barrier() {
  call void asm sideeffect "", "~{memory}"()
  ret void
}
define void @spins() {
  call void asm sideeffect "pause", ""()
  ret void
}
