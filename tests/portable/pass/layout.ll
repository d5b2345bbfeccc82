; PASSES: godwit-prepare,godwit-lay-out
; Addresses of functions are those of thunks, calls aren't; globals get explicit sections and alignments.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; CHECK: @table = dso_local constant [2 x ptr] [ptr @__godwit_to_one, ptr @__godwit_to_one], section ".godwit.constants", align 8
; CHECK: @zeros = dso_local global [100 x i32] zeroinitializer, section ".bss.godwit", align 4
; CHECK: @text = internal constant [3 x i8] c"hi\00", section ".godwit.constants", align 1
; CHECK: @value = dso_local global i32 5, section ".godwit.data", align 4
@table = dso_local constant [2 x ptr] [ptr @one, ptr @alias]
@zeros = dso_local global [100 x i32] zeroinitializer
@text = private unnamed_addr constant [3 x i8] c"hi\00"
@value = dso_local global i32 5
@alias = internal alias void (), ptr @one

define internal void @one() {
  ret void
}

; CHECK-LABEL: define ptr @uses
; CHECK: call void @one()
; CHECK: call void @one()
; CHECK: ret ptr @__godwit_to_one
define ptr @uses() {
  call void @one()
  call void @alias()
  ret ptr @one
}
