// Exceptions on their way while the program moves: handlers by type, base and pointer, clean-ups that take long, rethrowing,
// nested exceptions, exception_ptr, function-try-blocks, what noexcept and destructors do.
// Every: 5
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#include "linger.h"

static int alive = 0;
static std::string trace;

struct Guard {
  int id;
  explicit Guard(int i) : id(i) { alive++; }
  ~Guard() {
    alive--;
    linger(2);
    trace += static_cast<char>('a' + id % 26);
  }
};

struct Plain {
  int a = 1;
};
struct Other {
  virtual ~Other() = default;
  long pad = 7;
};
struct Base {
  virtual ~Base() = default;
  virtual const char* name() const { return "Base"; }
};
struct Derived : Other, Base {
  const char* name() const override { return "Derived"; }
};
struct Virtual : virtual std::exception {
  int code;
  explicit Virtual(int c) : code(c) {}
  const char* what() const noexcept override { return "Virtual"; }
};
struct Big {
  char bytes[5000];
};
struct alignas(16) Aligned {
  long double value;
};

static void thrower(int kind) {
  static Derived global;
  Guard g(kind);
  switch (kind) {
    case 0: throw 42;
    case 1: throw "text";
    case 2: throw Plain{};
    case 3: throw Derived();
    case 4: throw static_cast<Derived*>(&global);
    case 5: throw Virtual(5);
    case 6: throw std::out_of_range("range");
    case 7: throw std::bad_alloc();
    case 8: throw std::make_unique<int>(8);
    case 9: {
      Big big;
      std::memset(big.bytes, 'x', sizeof big.bytes);
      throw big;
    }
    case 10: throw 1.5L;
    case 11: throw Aligned{2.5L};
    case 12: throw nullptr;
    case 13: throw &thrower;
    default: return;
  }
}

static int deep(int n, int kind) {
  Guard g(n);
  if (n == 0) {
    thrower(kind);
    return 0;
  }
  if (n % 4 == 3) {
    try {
      return deep(n - 1, kind) + 1;
    } catch (const std::logic_error& e) {
      trace += '[';
      linger(3);
      if (n % 8 == 3) throw;
      throw std::runtime_error(std::string("wrapped ") + e.what());
    }
  }
  return deep(n - 1, kind) + 1;
}

static void attempt(int n, int kind) {
  try {
    std::printf("%d %d: ", n, kind);
    std::printf("result %d\n", deep(n, kind));
  } catch (int i) {
    linger(2);
    std::printf("int %d\n", i);
  } catch (const char* s) {
    std::printf("text %s\n", s ? s : "null");
  } catch (const Plain& p) {
    std::printf("Plain %d\n", p.a);
  } catch (const Base& b) {
    std::printf("%s %s\n", b.name(), typeid(b).name());
  } catch (Base* b) {
    std::printf("pointer %s\n", b->name());
  } catch (const std::runtime_error& e) {
    linger(2);
    std::printf("runtime_error %s\n", e.what());
  } catch (const std::exception& e) {
    std::printf("exception %s\n", typeid(e).name());
  } catch (std::unique_ptr<int>& p) {
    std::printf("unique_ptr %d\n", *p);
  } catch (Big b) {
    std::printf("big %c\n", b.bytes[4999]);
  } catch (long double d) {
    std::printf("long double %d\n", static_cast<int>(d * 10));
  } catch (Aligned& a) {
    std::printf("aligned %d %d\n", static_cast<int>(a.value * 10),
                static_cast<int>(reinterpret_cast<unsigned long>(&a) % 16));
  } catch (void* p) {
    std::printf("pointer to void %d\n", p == nullptr);
  } catch (...) {
    std::printf("something else\n");
  }
  std::printf("alive %d trace %s uncaught %d\n", alive, trace.c_str(), std::uncaught_exceptions());
  trace.clear();
}

struct Member {
  Guard g;
  explicit Member(int i) : g(i) {
    linger(2);
    if (i == 3) throw std::invalid_argument("third");
  }
};
struct Whole {
  Member a{1}, b{2}, c;
  explicit Whole(int i) try : c(i) { trace += '!'; } catch (const std::invalid_argument& e) {
    trace += '?';
    linger(2);
    throw std::runtime_error(std::string("whole: ") + e.what());
  }
};

static void constructors() {
  for (int i = 2; i < 4; i++) try {
      Whole w(i);
      std::printf("whole %d\n", i);
    } catch (const std::exception& e) {
      std::printf("%s\n", e.what());
    }
  try {
    std::vector<Member> members;
    for (int i = 0; i < 10; i++) members.emplace_back(i);
  } catch (const std::exception& e) {
    std::printf("members: %s alive %d\n", e.what(), alive);
    trace.clear();  // the order in which a vector destroys is its own business
  }
  try {
    auto* array = new Member[2]{Member(1), Member(3)};
    delete[] array;
  } catch (const std::exception& e) {
    std::printf("array: %s alive %d\n", e.what(), alive);
  }
  std::printf("trace %s\n", trace.c_str());
  trace.clear();
}

static void nested(int n) {
  try {
    if (n == 0) throw std::runtime_error("innermost");
    nested(n - 1);
  } catch (...) {
    linger(2);
    std::throw_with_nested(std::logic_error("level " + std::to_string(n)));
  }
}
static void tell(const std::exception& e, int indent) {
  std::printf("%*s%s\n", indent, "", e.what());
  try {
    std::rethrow_if_nested(e);
  } catch (const std::exception& inner) {
    tell(inner, indent + 1);
  }
}

static void pointers() {
  std::exception_ptr kept;
  try {
    thrower(5);
  } catch (...) {
    kept = std::current_exception();
    for (int i = 0; i < 4; i++) Guard g(i);
  }
  for (int i = 0; i < 3; i++) try {
      std::rethrow_exception(kept);
    } catch (const Virtual& v) {
      std::printf("kept %d\n", v.code);
      try {
        linger(2);
        if (i == 1) throw;
        throw std::runtime_error("second");
      } catch (const std::exception& e) {
        std::printf("inside %s\n", e.what());
      }
    }
  struct Counter {
    ~Counter() { linger(2), std::printf("unwinding %d\n", std::uncaught_exceptions()); }
  };
  try {
    Counter outer;
    try {
      Counter inner;
      throw 1;
    } catch (int) {
      Counter handler;
      throw 2;
    }
  } catch (int i) {
    std::printf("%d\n", i);
  }
}

static int loop_of_handlers(int n) {
  int sum = 0;
  for (int i = 0; i < n; i++) {
    try {
      try {
        if (i % 3 == 0) throw i;
        if (i % 3 == 1) throw static_cast<long>(i);
        sum += 1;
      } catch (int k) {
        sum += 10 * k;
        if (k % 2) throw static_cast<short>(k);
      }
    } catch (long k) {
      sum += 100 * static_cast<int>(k);
    } catch (short k) {
      sum -= k;
      continue;
    }
  }
  return sum;
}

int main() {
  for (int kind = 0; kind < 15; kind++)
    for (int n : {0, 3, 9}) attempt(n, kind);
  constructors();
  try {
    nested(4);
  } catch (const std::exception& e) {
    tell(e, 0);
  }
  pointers();
  std::printf("handlers %d\n", loop_of_handlers(200));
  std::printf("alive %d\n", alive);
  return 5;
}
