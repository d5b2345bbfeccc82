// A jump into a function that has objects to destroy.
#include <setjmp.h>

#include <string>

jmp_buf place;
void use(const std::string& text);

int run(int argc) {
  std::string text(argc, 'x');
  if (setjmp(place)) return 1;  // expect: error setjmp-cleanup
  use(text);                    // expect: error undefined
  return 0;
}

int main(int argc, char**) { return run(argc); }
