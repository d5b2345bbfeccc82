// What nobody catches: std::set_terminate's function is called, with the exception at hand.
// Every: 40
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "linger.h"

static void out() {
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const std::exception& e) {
    std::printf("terminated by %s\n", e.what());
  }
  std::fflush(stdout);
  std::_Exit(9);
}

static int deep(int n) {
  if (n == 0) throw std::runtime_error("nobody wants it");
  struct Slow {
    ~Slow() { linger(1); }
  } slow;
  return deep(n - 1) + 1;
}

int main() {
  std::set_terminate(out);
  for (int i = 1; i < 200; i++) try {
      deep(i % 20);
    } catch (const std::exception&) {
    }
  std::printf("now\n");
  return deep(40);
}
