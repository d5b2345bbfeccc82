// Exception specifications as they were before C++17, and what noexcept does to an exception.
// Flags: -std=gnu++14
// Every: 4
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "linger.h"

struct A {};
struct B : A {};
struct C {};

static void allowed(int kind) throw(A, int) {
  struct Slow {
    ~Slow() { linger(2); }
  } slow;
  if (kind == 0) throw B();
  if (kind == 1) throw 1;
  throw C();
}
static void bad_allowed() throw(std::bad_exception) { throw C(); }
static int unexpected_calls = 0;
static void to_int() {
  unexpected_calls++;
  linger(2);
  throw 77;
}
static void to_c() { throw C(); }

static void attempt(int kind) {
  try {
    allowed(kind);
  } catch (const A&) {
    std::printf("A\n");
  } catch (int i) {
    linger(2);
    std::printf("int %d\n", i);
  } catch (const C&) {
    std::printf("C\n");
  }
}

int main() {
  std::set_unexpected(to_int);
  for (int round = 0; round < 30; round++)
    for (int kind = 0; kind < 3; kind++) attempt(kind);
  std::printf("unexpected %d uncaught %d\n", unexpected_calls, std::uncaught_exception());
  std::set_unexpected(to_c);
  try {
    bad_allowed();
  } catch (const std::bad_exception&) {
    std::printf("bad_exception\n");
  }
  std::set_terminate([] {
    std::printf("terminated\n");
    std::fflush(stdout);
    std::_Exit(3);
  });
  allowed(2);
}
