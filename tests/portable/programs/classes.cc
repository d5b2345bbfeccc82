// What the language does with types: virtual and multiple inheritance, RTTI, pointers to members, lambdas, coroutines,
// statics that are made once, templates, placement new, thread_local, order of construction and destruction.
// Every: 5
#include <any>
#include <coroutine>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include "linger.h"

struct Logged {
  const char* name;
  explicit Logged(const char* n) : name(n) { linger(2), std::printf("+%s\n", name); }
  ~Logged() { linger(2), std::printf("-%s\n", name); }
};
static Logged first("first");
static Logged second("second");
static Logged& once() {
  static Logged made("once");
  return made;
}
struct NoisyStatic {
  NoisyStatic(int attempt) {
    linger(2);
    if (attempt < 2) throw attempt;
  }
};
static int try_static(int attempt) {
  try {
    static NoisyStatic made(attempt);
    return 100;
  } catch (int a) {
    return a;
  }
}

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
  virtual Shape* clone() const = 0;
};
struct Named {
  std::string name;
  virtual ~Named() = default;
  virtual std::string describe() const { return "named " + name; }
};
struct Rectangle : virtual Shape, Named {
  double a, b;
  Rectangle(double x, double y) : a(x), b(y) { name = "rectangle"; }
  double area() const override { return linger(1) + a * b; }
  Rectangle* clone() const override { return new Rectangle(*this); }
};
struct Coloured : virtual Shape {
  int colour = 3;
  virtual int shade() const { return colour; }
};
struct Square : Coloured, Rectangle {
  explicit Square(double x) : Rectangle(x, x) { name = "square"; }
  Square* clone() const override { return new Square(*this); }
  std::string describe() const override { return "a " + Named::describe(); }
  int shade() const override { return colour * 10; }
};

template <class T>
struct Generator {
  struct promise_type {
    T value{};
    std::exception_ptr trouble;
    Generator get_return_object() { return Generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T v) {
      value = std::move(v);
      return {};
    }
    void return_void() {}
    void unhandled_exception() { trouble = std::current_exception(); }
  };
  explicit Generator(std::coroutine_handle<promise_type> h) : handle(h) {}
  Generator(Generator&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  ~Generator() {
    if (handle) handle.destroy();
  }
  bool next() {
    handle.resume();
    if (handle.promise().trouble) std::rethrow_exception(handle.promise().trouble);
    return !handle.done();
  }
  std::coroutine_handle<promise_type> handle;
};
static Generator<std::string> words(int n) {
  std::string word = "w";
  for (int i = 0; i < n; i++) {
    word += static_cast<char>('a' + i);
    linger(2);
    co_yield word;
    if (i == 6) throw std::string("enough");
  }
}
static Generator<int> squares(int n) {
  for (int i = 0; i < n; i++) co_yield i* i;
}

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

static thread_local Logged of_thread("of the thread");
static thread_local int counter = 3;

struct Members {
  int value = 4;
  int twice() const { return linger(2) + 2 * value; }
  virtual int thrice() const { return 3 * value; }
  virtual ~Members() = default;
};

struct Tracker {
  static inline int made = 0, freed = 0;
  static void* operator new(std::size_t size) {
    made += linger(2);
    return ::operator new(size);
  }
  static void operator delete(void* p) {
    freed++;
    ::operator delete(p);
  }
  int payload[10]{};
};

int main() {
  std::printf("main %s\n", once().name);
  for (int i = 0; i < 4; i++) std::printf("static %d\n", try_static(i));
  std::vector<std::unique_ptr<Shape>> shapes;
  for (int i = 0; i < 6; i++)
    shapes.emplace_back(i % 2 ? static_cast<Shape*>(new Square(i)) : new Rectangle(i, i + 0.5));
  for (int i = 0; i < 3; i++) shapes.emplace_back(shapes[i]->clone());
  double sum = 0;
  for (const auto& s : shapes) {
    sum += s->area();
    if (auto* q = dynamic_cast<Square*>(s.get()))
      std::printf("%s shade %d\n", q->describe().c_str(), static_cast<Coloured*>(q)->shade());
    else if (auto* n = dynamic_cast<Named*>(s.get()))
      std::printf("%s %s\n", n->describe().c_str(), typeid(*s).name());
    if (auto* c = dynamic_cast<Coloured*>(s.get())) c->colour++;
  }
  std::printf("sum %.3f same %d before %d\n", sum, typeid(*shapes[0]) == typeid(*shapes[2]),
              typeid(*shapes[0]) == typeid(*shapes[1]));
  try {
    (void)dynamic_cast<Coloured&>(*shapes[0]);
  } catch (const std::bad_cast&) {
    std::printf("bad cast\n");
  }
  int Members::* field = &Members::value;
  int (Members::*method)() const = &Members::twice;
  int (Members::*virtual_method)() const = &Members::thrice;
  Members m;
  m.*field += 3;
  std::printf("members %d %d\n", (m.*method)(), (m.*virtual_method)());

  try {
    for (auto g = words(12); g.next();) std::printf("%s ", g.handle.promise().value.c_str());
  } catch (const std::string& s) {
    std::printf("coroutine: %s\n", s.c_str());
  }
  long total = 0;
  auto a = squares(50), b = squares(40);
  while (a.next() && b.next()) total += a.handle.promise().value * 3L - b.handle.promise().value;
  std::printf("total %ld\n", total);

  std::function<int(int)> fib = [&](int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); };
  int calls = 0;
  auto counting = [&calls, fib](auto x) mutable {
    calls++;
    return fib(static_cast<int>(x)) + calls;
  };
  std::printf("fib %d %d calls %d\n", counting(12), counting(10.5), calls);
  std::variant<int, std::string, double> v = 3;
  for (int i = 0; i < 3; i++) {
    std::visit(Overloaded{[](int x) { std::printf("int %d\n", x); }, [](double x) { std::printf("double %g\n", x); },
                          [](const std::string& s) { std::printf("string %s\n", s.c_str()); }},
               v);
    if (i == 0)
      v = std::string("variant");
    else
      v = 2.5;
  }
  std::any any = std::string("any");
  std::printf("%s %d\n", std::any_cast<std::string>(any).c_str(), std::any_cast<int>(&any) == nullptr);
  std::optional<std::string> maybe;
  std::printf("%s ", maybe.value_or("none").c_str());
  maybe.emplace(3, 'z');
  std::printf("%s\n", maybe->c_str());

  alignas(Logged) unsigned char room[sizeof(Logged)];
  auto* placed = new (room) Logged("placed");
  placed->~Logged();
  for (int i = 0; i < 20; i++) delete new Tracker;
  std::printf("tracked %d %d\n", Tracker::made, Tracker::freed);
  counter += static_cast<int>(std::strlen(of_thread.name));
  std::printf("counter %d\n", counter);
  std::shared_ptr<Logged> shared = std::make_shared<Logged>("shared");
  std::weak_ptr<Logged> weak = shared;
  auto other = shared;
  shared.reset();
  std::printf("count %ld expired %d\n", weak.use_count(), weak.expired());
  other.reset();
  std::printf("expired %d\n", weak.expired());
}
