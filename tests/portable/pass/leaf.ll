; PASSES: godwit-prepare
; The program's code isn't inlined into library functions without points, whose attribute it would get.
; CHECK-LABEL: define void @start
; CHECK: call void @main() #[[KEPT_OUT:[0-9]+]]
; CHECK: call void %f() #[[KEPT_OUT]]
; CHECK: call void @other_leaf(){{$}}
; CHECK-LABEL: define void @main
; CHECK: call void @other_leaf(){{$}}
; CHECK: attributes #[[KEPT_OUT]] = {{.*}}noinline
define void @start(ptr %f) "godwit-leaf" {
  call void @main()
  call void %f()
  call void @other_leaf()
  ret void
}
define void @other_leaf() "godwit-leaf" {
  ret void
}
define void @main() {
  call void @other_leaf()
  ret void
}
