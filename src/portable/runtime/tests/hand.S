/* Thunks: a function's address, equal on all architectures. */
#if defined(__x86_64__)
#define JUMP jmp
#elif defined(__aarch64__)
#define JUMP b
#else
#define JUMP tail
        .option norelax
#endif
        .section .godwit.thunks, "ax", %progbits
        .balign 16
        .globl hand_thread_thunk
hand_thread_thunk:
        JUMP hand_thread
        .balign 16
        .globl hand_handler_thunk
hand_handler_thunk:
        JUMP hand_handler
        .balign 16
        .globl hand_survivor_thunk
hand_survivor_thunk:
        JUMP hand_survivor
        .section .note.GNU-stack, "", %progbits
