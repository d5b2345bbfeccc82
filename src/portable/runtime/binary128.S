/* The names by which LLVM calls the arithmetic of binary128.cc on armhf. A number of 128 bits comes in r0 to r3, a second one on the
 * stack, and a result goes into r0 to r3; C++ gets addresses. Other numbers come and go as the hard-float convention has them. */
#if defined(__arm__)
        .syntax unified
        .arm
        .text

        .macro named name
        .globl \name
        .type \name, %function
\name:
        .endm

        /* (a, b) -> a number */
        .macro binary name, function
        named \name
        push {r0, r1, r2, r3}
        push {ip, lr}
        sub sp, sp, #16
        mov r0, sp
        add r1, sp, #24
        add r2, sp, #40
        bl \function
        pop {r0, r1, r2, r3}
        pop {ip, lr}
        add sp, sp, #16
        bx lr
        .endm

        /* (a, b) -> an int */
        .macro compare name, function
        named \name
        push {r0, r1, r2, r3}
        push {ip, lr}
        add r0, sp, #8
        add r1, sp, #24
        bl \function
        pop {ip, lr}
        add sp, sp, #16
        bx lr
        .endm

        /* (a) -> something else */
        .macro from name, function
        named \name
        push {r0, r1, r2, r3}
        push {ip, lr}
        add r0, sp, #8
        bl \function
        pop {ip, lr}
        add sp, sp, #16
        bx lr
        .endm

        /* Something else -> a number: one register, two, or d0, which stays where it is. */
        .macro to name, function, registers
        named \name
        push {ip, lr}
        sub sp, sp, #16
        .if \registers == 1
        mov r1, r0
        .endif
        .if \registers == 2
        mov r2, r0
        mov r3, r1
        .endif
        mov r0, sp
        bl \function
        pop {r0, r1, r2, r3}
        pop {ip, lr}
        bx lr
        .endm

        binary __addtf3, godwit_tf_add
        binary __subtf3, godwit_tf_subtract
        binary __multf3, godwit_tf_multiply
        binary __divtf3, godwit_tf_divide
        compare __eqtf2, godwit_tf_compare
        compare __netf2, godwit_tf_compare
        compare __lttf2, godwit_tf_compare
        compare __letf2, godwit_tf_compare
        compare __gttf2, godwit_tf_compare_greater
        compare __getf2, godwit_tf_compare_greater
        compare __unordtf2, godwit_tf_unordered
        from __fixtfsi, godwit_tf_to_int
        from __fixtfdi, godwit_tf_to_long
        from __fixunstfsi, godwit_tf_to_unsigned
        from __fixunstfdi, godwit_tf_to_unsigned_long
        from __trunctfdf2, godwit_tf_to_double
        from __trunctfsf2, godwit_tf_to_float
        to __extenddftf2, godwit_tf_from_double, 0
        to __extendsftf2, godwit_tf_from_float, 0
        to __floatsitf, godwit_tf_from_int, 1
        to __floatunsitf, godwit_tf_from_unsigned, 1
        to __floatditf, godwit_tf_from_long, 2
        to __floatunditf, godwit_tf_from_unsigned_long, 2
#endif

        .section .note.GNU-stack, "", %progbits
