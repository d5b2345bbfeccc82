/* What rt_sigaction takes in the generic 64-bit ABI, which has no restorer: the mask follows the flags. musl 1.2.3 takes
 * x86_64's layout for riscv64, a bug that was mended later; its sigaction() sets a restorer, so there is a field to set. */
#include <features.h>

struct k_sigaction {
  void (*handler)(int);
  unsigned long flags;
  unsigned mask[2];
  void (*restorer)(void);
};

hidden void __restore(void), __restore_rt(void);
