; PASSES: godwit-place-points
; Where points go: not into a countable innermost loop that calls nothing, but between its strips and around it; to the begin of
; recursive functions.
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

; The inner loop is left as it was, but for its end: after at most so many rounds as take a millisecond.
; CHECK-LABEL: define double @countable
; CHECK: strips:
; CHECK: [[LEFT:%.*]] = phi i64 [ [[ROUNDS:%.*]], %entry ]
; CHECK: [[STRIP:%.*]] = call i64 @llvm.umin.i64(i64 [[LEFT]], i64
; CHECK: loop:
; CHECK-NOT: __godwit_request
; CHECK: [[END:%.*]] = icmp eq i64 %in.strip, [[STRIP]]
; CHECK: br i1 [[END]], label %strip.ended, label %loop
; CHECK: strip.ended:
; CHECK: [[REST:%.*]] = sub i64 [[LEFT]], [[STRIP]]
; CHECK: icmp eq i64 [[REST]], 0
; CHECK: strip.next:
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: call void @__godwit_poll()
; CHECK: br label %strips
define double @countable(ptr %a, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %s = phi double [ 0.0, %entry ], [ %t, %loop ]
  %p = getelementptr double, ptr %a, i64 %i
  %v = load double, ptr %p
  %t = fadd double %s, %v
  %next = add nuw nsw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret double %t
}

; A walk along a list has no bound.
; CHECK-LABEL: define i64 @list
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: call void @__godwit_poll()
define i64 @list(ptr %head) {
entry:
  br label %loop
loop:
  %p = phi ptr [ %head, %entry ], [ %next, %loop ]
  %n = phi i64 [ 0, %entry ], [ %m, %loop ]
  %m = add i64 %n, 1
  %next = load ptr, ptr %p
  %end = icmp eq ptr %next, null
  br i1 %end, label %done, label %loop
done:
  ret i64 %m
}

; CHECK-LABEL: define i64 @of_the_library
; CHECK-NOT: __godwit_request
; CHECK: ret i64
define i64 @of_the_library(ptr %head) "godwit-leaf" {
entry:
  br label %loop
loop:
  %p = phi ptr [ %head, %entry ], [ %next, %loop ]
  %next = load ptr, ptr %p
  %end = icmp eq ptr %next, null
  br i1 %end, label %done, label %loop
done:
  ret i64 0
}

; A recursive function has its point at its begin.
; CHECK-LABEL: define i32 @recursive
; CHECK-NEXT: load atomic i32, ptr @__godwit_request monotonic
; CHECK: call i32 @recursive
; CHECK-NOT: @__godwit_request
; CHECK: ret i32
define i32 @recursive(i32 %n) {
  %end = icmp slt i32 %n, 1
  br i1 %end, label %done, label %more
more:
  %less = sub i32 %n, 1
  %r = call i32 @recursive(i32 %less)
  br label %done
done:
  %v = phi i32 [ 1, %0 ], [ %r, %more ]
  ret i32 %v
}

; A loop that is entered in two places.
; CHECK-LABEL: define i64 @two_ways_in
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret i64
define i64 @two_ways_in(i1 %which, ptr %p) {
entry:
  br i1 %which, label %a, label %b
a:
  %x = phi i64 [ 0, %entry ], [ %z, %b ]
  %y = add i64 %x, 1
  br label %b
b:
  %w = phi i64 [ 7, %entry ], [ %y, %a ]
  %z = mul i64 %w, 3
  %more = load volatile i1, ptr %p
  br i1 %more, label %a, label %done
done:
  ret i64 %z
}

; A round that ends with a look for a jump (lower_jumps.cc): the point comes behind the look, on the way without a jump.
@__godwit_state = external thread_local global i32
declare void @may_jump()
; CHECK-LABEL: define void @ends_with_a_look
; CHECK: call void @may_jump()
; CHECK-NEXT: %[[STATE:.*]] = load i32, ptr @__godwit_state
; CHECK-NEXT: %[[JUMPING:.*]] = icmp eq i32 %[[STATE]], 4
; CHECK-NEXT: br i1 %[[JUMPING]], label %jumped, label %[[ON:.*]]
; CHECK: [[ON]]:
; CHECK: load atomic i32, ptr @__godwit_request monotonic
; CHECK: ret void
define void @ends_with_a_look() {
  br label %loop
loop:
  call void @may_jump()
  %state = load i32, ptr @__godwit_state
  %jumping = icmp eq i32 %state, 4
  br i1 %jumping, label %jumped, label %loop
jumped:
  ret void
}

; What can't be a million rounds has no strips.
; CHECK-LABEL: define i32 @bounded
; CHECK-NOT: __godwit_request
; CHECK: ret i32
define i32 @bounded(ptr %a, i16 %n) {
entry:
  br label %loop
loop:
  %i = phi i16 [ 0, %entry ], [ %next, %loop ]
  %s = phi i32 [ 0, %entry ], [ %t, %loop ]
  %p = getelementptr i32, ptr %a, i16 %i
  %v = load i32, ptr %p
  %t = add i32 %s, %v
  %next = add nuw nsw i16 %i, 1
  %more = icmp ult i16 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret i32 %t
}

; Two ways out: the one that isn't counted stays as it is. What the count is made of may mean nothing when that one is taken.
; CHECK-LABEL: define i64 @search
; CHECK: freeze i64
; CHECK: strips:
; CHECK: loop:
; CHECK: br i1 %found, label %yes, label %on
; CHECK: on:
; CHECK: br i1 %{{.*}}, label %strip.ended, label %loop
; CHECK: load atomic i32, ptr @__godwit_request monotonic
define i64 @search(ptr %a, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %on ]
  %p = getelementptr i32, ptr %a, i64 %i
  %v = load i32, ptr %p
  %found = icmp eq i32 %v, 7
  br i1 %found, label %yes, label %on
on:
  %next = add nuw nsw i64 %i, 1
  %end = icmp eq i64 %next, %n
  br i1 %end, label %no, label %loop
yes:
  ret i64 %i
no:
  ret i64 -1
}
