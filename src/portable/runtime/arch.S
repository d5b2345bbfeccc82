/* The few instructions that C++ can't say, an architecture at a time: the entry point, a new thread, another stack,
 * the return from a signal. Names begin with godwit_arch_; runtime.h declares them. */

#if defined(__x86_64__)
        .text
        .globl _start
_start: xorl %ebp, %ebp
        movq %rsp, %rdi
        andq $-16, %rsp
        call godwit_start
        ud2

        /* long godwit_arch_clone(flags, stack, ptid, tls, ctid, void (*entry)(void*), void* argument) */
        .globl godwit_arch_clone
godwit_arch_clone:
        movq 8(%rsp), %rax
        andq $-16, %rsi
        subq $16, %rsi
        movq %r9, (%rsi)
        movq %rax, 8(%rsi)
        movq %r8, %r10
        movq %rcx, %r8
        movl $56, %eax
        syscall
        testq %rax, %rax
        jz 1f
        ret
1:      xorl %ebp, %ebp
        popq %rax
        popq %rdi
        call *%rax
        ud2

        /* void godwit_arch_on_stack(void (*entry)(void*), void* argument, void* stack) */
        .globl godwit_arch_on_stack
godwit_arch_on_stack:
        xorl %ebp, %ebp
        movq %rdi, %rax
        movq %rsi, %rdi
        movq %rdx, %rsp
        andq $-16, %rsp
        call *%rax
        ud2

        /* long godwit_arch_wait(const uint32_t* attention, long number, const long arguments[6]) */
        .globl godwit_arch_wait, godwit_arch_wait_begin, godwit_arch_wait_end, godwit_arch_wait_abort
godwit_arch_wait:
        movq %rdi, %r11
        movq %rsi, %rax
        movq 0(%rdx), %rdi
        movq 8(%rdx), %rsi
        movq 24(%rdx), %r10
        movq 32(%rdx), %r8
        movq 40(%rdx), %r9
        movq 16(%rdx), %rdx
godwit_arch_wait_begin:
        cmpl $0, (%r11)
        jne godwit_arch_wait_abort
        syscall
godwit_arch_wait_end:
        ret
godwit_arch_wait_abort:
        movq $-4, %rax
        ret

        .globl godwit_arch_sigreturn
godwit_arch_sigreturn:
        movl $15, %eax
        syscall

#elif defined(__aarch64__)
        .text
        .globl _start
_start: mov x29, #0
        mov x30, #0
        mov x0, sp
        and sp, x0, #-16
        bl godwit_start
        brk #0

        .globl godwit_arch_clone
godwit_arch_clone:
        and x1, x1, #-16
        stp x5, x6, [x1, #-16]!
        mov x8, #220
        svc #0
        cbz x0, 1f
        ret
1:      mov x29, #0
        ldp x1, x0, [sp], #16
        blr x1
        brk #0

        .globl godwit_arch_on_stack
godwit_arch_on_stack:
        mov x29, #0
        mov x9, x0
        mov x0, x1
        and x2, x2, #-16
        mov sp, x2
        blr x9
        brk #0

        .globl godwit_arch_wait, godwit_arch_wait_begin, godwit_arch_wait_end, godwit_arch_wait_abort
godwit_arch_wait:
        mov x9, x0
        mov x8, x1
        mov x10, x2
        ldp x0, x1, [x10]
        ldp x2, x3, [x10, #16]
        ldp x4, x5, [x10, #32]
godwit_arch_wait_begin:
        ldr w11, [x9]
        cbnz w11, godwit_arch_wait_abort
        svc #0
godwit_arch_wait_end:
        ret
godwit_arch_wait_abort:
        mov x0, #-4
        ret

#elif defined(__riscv)
        .text
        .globl _start
_start: li s0, 0
        mv a0, sp
        andi sp, sp, -16
        call godwit_start
        ebreak

        .globl godwit_arch_clone
godwit_arch_clone:
        andi a1, a1, -16
        addi a1, a1, -16
        sd a5, 0(a1)
        sd a6, 8(a1)
        li a7, 220
        ecall
        beqz a0, 1f
        ret
1:      li s0, 0
        ld a1, 0(sp)
        ld a0, 8(sp)
        addi sp, sp, 16
        jalr a1
        ebreak

        .globl godwit_arch_on_stack
godwit_arch_on_stack:
        li s0, 0
        mv t0, a0
        mv a0, a1
        andi sp, a2, -16
        jalr t0
        ebreak

        .globl godwit_arch_wait, godwit_arch_wait_begin, godwit_arch_wait_end, godwit_arch_wait_abort
godwit_arch_wait:
        mv t0, a0
        mv a7, a1
        mv t1, a2
        ld a0, 0(t1)
        ld a1, 8(t1)
        ld a2, 16(t1)
        ld a3, 24(t1)
        ld a4, 32(t1)
        ld a5, 40(t1)
godwit_arch_wait_begin:
        lw t2, 0(t0)
        bnez t2, godwit_arch_wait_abort
        ecall
godwit_arch_wait_end:
        ret
godwit_arch_wait_abort:
        li a0, -4
        ret

/* A caller leaves 160 bytes at the stack pointer for what it calls. */
#elif defined(__s390x__)
        .text
        .globl _start
_start: lgr %r2, %r15
        lghi %r0, -8
        ngr %r15, %r0
        aghi %r15, -160
        xc 0(8, %r15), 0(%r15)
        brasl %r14, godwit_start
        j .+2

        /* The kernel wants (stack, flags, ptid, ctid, tls). Entry and argument are the sixth and seventh: on the stack. */
        .globl godwit_arch_clone
godwit_arch_clone:
        lg %r1, 160(%r15)
        lghi %r0, -8
        ngr %r3, %r0
        aghi %r3, -176
        xc 0(8, %r3), 0(%r3)
        stg %r1, 168(%r3)
        lg %r1, 168(%r15)
        stg %r1, 160(%r3)
        stg %r6, 48(%r15)
        lgr %r0, %r2
        lgr %r2, %r3
        lgr %r3, %r0
        lgr %r0, %r5
        lgr %r5, %r6
        lgr %r6, %r0
        svc 120
        lg %r6, 48(%r15)
        ltgr %r2, %r2
        jz 1f
        br %r14
1:      lg %r1, 168(%r15)
        lg %r2, 160(%r15)
        basr %r14, %r1
        j .+2

        .globl godwit_arch_on_stack
godwit_arch_on_stack:
        lgr %r1, %r2
        lgr %r2, %r3
        lghi %r0, -8
        ngr %r4, %r0
        lgr %r15, %r4
        aghi %r15, -160
        xc 0(8, %r15), 0(%r15)
        basr %r14, %r1
        j .+2

        .globl godwit_arch_wait, godwit_arch_wait_begin, godwit_arch_wait_end, godwit_arch_wait_abort
godwit_arch_wait:
        stmg %r6, %r7, 48(%r15)
        lgr %r0, %r2
        lgr %r1, %r3
        lgr %r7, %r4
        lg %r2, 0(%r7)
        lg %r3, 8(%r7)
        lg %r4, 16(%r7)
        lg %r5, 24(%r7)
        lg %r6, 32(%r7)
        lg %r7, 40(%r7)
        /* All registers that can hold an address are taken: the number waits on the stack while r1 holds the word's. */
        stg %r1, 40(%r15)
        lgr %r1, %r0
godwit_arch_wait_begin:
        clfhsi 0(%r1), 0
        jne godwit_arch_wait_abort
        lg %r1, 40(%r15)
        svc 0
godwit_arch_wait_end:
        lmg %r6, %r7, 48(%r15)
        br %r14
godwit_arch_wait_abort:
        lmg %r6, %r7, 48(%r15)
        lghi %r2, -4
        br %r14

        .globl godwit_arch_sigreturn
godwit_arch_sigreturn:
        svc 173

#elif defined(__arm__)
        .syntax unified
        .arm
        .text
        .globl _start
        .type _start, %function
_start: mov fp, #0
        mov lr, #0
        mov r0, sp
        bic sp, sp, #15
        bl godwit_start
        udf #0

        /* flags, stack, ptid, tls in registers, then ctid, entry and argument on the stack: the kernel's order. */
        .globl godwit_arch_clone
        .type godwit_arch_clone, %function
godwit_arch_clone:
        push {r4, r5, r6, r7}
        ldr r4, [sp, #16]
        ldr r5, [sp, #20]
        ldr r6, [sp, #24]
        bic r1, r1, #15
        sub r1, r1, #16
        str r5, [r1]
        str r6, [r1, #4]
        mov r7, #120
        svc #0
        cmp r0, #0
        beq 1f
        pop {r4, r5, r6, r7}
        bx lr
1:      mov fp, #0
        ldr r1, [sp]
        ldr r0, [sp, #4]
        add sp, sp, #16
        blx r1
        udf #0

        .globl godwit_arch_on_stack
        .type godwit_arch_on_stack, %function
godwit_arch_on_stack:
        mov fp, #0
        mov r3, r0
        mov r0, r1
        bic r2, r2, #15
        mov sp, r2
        blx r3
        udf #0

        .globl godwit_arch_wait, godwit_arch_wait_begin, godwit_arch_wait_end, godwit_arch_wait_abort
        .type godwit_arch_wait, %function
godwit_arch_wait:
        push {r4, r5, r7, r8}
        mov ip, r0
        mov r7, r1
        mov r8, r2
        ldr r0, [r8]
        ldr r1, [r8, #4]
        ldr r2, [r8, #8]
        ldr r3, [r8, #12]
        ldr r4, [r8, #16]
        ldr r5, [r8, #20]
godwit_arch_wait_begin:
        ldr r8, [ip]
        cmp r8, #0
        bne godwit_arch_wait_abort
        svc #0
godwit_arch_wait_end:
        pop {r4, r5, r7, r8}
        bx lr
godwit_arch_wait_abort:
        pop {r4, r5, r7, r8}
        mvn r0, #3
        bx lr

        /* What libgcc's division calls when there is nothing to divide by, and what its tables name. */
        .globl __aeabi_idiv0, __aeabi_ldiv0, __aeabi_unwind_cpp_pr0, __aeabi_unwind_cpp_pr1
        .type __aeabi_idiv0, %function
        .type __aeabi_ldiv0, %function
__aeabi_idiv0:
__aeabi_ldiv0:
__aeabi_unwind_cpp_pr0:
__aeabi_unwind_cpp_pr1:
        mov r0, #0
        mov r1, #0
        bx lr
#endif

        .section .note.GNU-stack, "", %progbits
