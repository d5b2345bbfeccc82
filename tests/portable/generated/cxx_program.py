"""Random C++ programs, for ../cxxgen: what a seed says, and always the same.

A program is a set of functions `u64 fN(u64 x, int depth)` that call each other, downwards in depth and within a budget of calls, so that
it ends. Each folds what it does into a checksum that is printed now and then. What they do is taken from a list of pieces
(PIECES): objects with virtual functions and several bases, exceptions that pass frames with destructors, containers,
templates, lambdas, coroutines, statics, threads. To add a piece: a method of Writer with @piece, which returns lines of code.

All is defined behaviour with one result: arithmetic is unsigned, nothing depends on addresses, on the order of an unordered
container or of equal elements, on the order in which a container's elements are destroyed, on the text of a library's exceptions, or on which thread is first.
"""
import random

PRELUDE = r"""
#include <algorithm>
#include <any>
#include <atomic>
#include <coroutine>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <queue>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
#ifdef __godwit__
#include <godwit.h>
#define STEP() godwit_adaptation_point()
#else
static unsigned long points;
#define STEP() ((void)points++)
struct Tell { ~Tell() { std::fprintf(stderr, "%lu", points); } } tell;
#endif
using u64 = std::uint64_t;
using i32 = std::int32_t;
static u64 sum = 1;
static unsigned calls, lines;
static void mix(u64 v) { sum = (sum ^ v) * 0x9e3779b97f4a7c15u; sum ^= sum >> 29; }
static void say(const char* what, u64 v) {
  mix(v);
  if (lines++ < 300) std::printf("%s %016llx\n", what, (unsigned long long)sum);
}
static u64 text_sum(const std::string& s) { u64 h = 7; for (unsigned char c : s) h = h * 131 + c; return h; }
[[maybe_unused]] static u64 total(int n, ...) {
  va_list list;
  va_start(list, n);
  u64 s = 0;
  for (int i = 0; i < n; i++) s = s * 3 + va_arg(list, u64);
  va_end(list);
  return s;
}

struct Tracer {  // says when it goes
  const char* name;
  u64 value;
  Tracer(const char* n, u64 v) : name(n), value(v) { mix(v); STEP(); }
  Tracer(const Tracer& o) : name(o.name), value(o.value + 1) { mix(value); }
  Tracer(Tracer&& o) noexcept : name(o.name), value(o.value) { o.name = nullptr; }
  ~Tracer() { STEP(); if (!name) return; if (value % 3 == 0) say(name, value); else mix(value); }
};
struct Plain { u64 value; };  // for throw_with_nested, which copies as often as the library likes
// Libraries differ in the order in which a container destroys its elements.
template <class Container>
struct InOrder : Container { ~InOrder() { while (!this->empty()) this->pop_back(); } };

template <class T>
struct Generator {
  struct promise_type {
    T value{};
    std::exception_ptr trouble;
    Generator get_return_object() { return Generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T v) { value = std::move(v); return {}; }
    void return_void() {}
    void unhandled_exception() { trouble = std::current_exception(); }
  };
  explicit Generator(std::coroutine_handle<promise_type> h) : handle(h) {}
  Generator(const Generator&) = delete;
  ~Generator() { handle.destroy(); }
  bool next() {
    handle.resume();
    if (handle.promise().trouble) std::rethrow_exception(handle.promise().trouble);
    return !handle.done();
  }
  std::coroutine_handle<promise_type> handle;
};

template <class Derived>
struct Counted {
  static inline u64 made;
  Counted() { made++; }
  u64 twice() const { return static_cast<const Derived*>(this)->weight() * 2 + made; }
};

template <unsigned N>
struct Power { static u64 of(u64 x) { STEP(); return x * Power<N - 1>::of(x + N); } };
template <>
struct Power<0> { static u64 of(u64) { return 1; } };

template <class... T>
u64 fold(T... values) { return (u64{0} + ... + (values * 3)); }

template <class T>
class Stack {
 public:
  void push(T v) { items_.push_back(std::move(v)); }
  T pop() {
    if (items_.empty()) throw std::out_of_range("empty");
    T v = std::move(items_.back());
    items_.pop_back();
    return v;
  }
  std::size_t size() const { return items_.size(); }
 private:
  std::vector<T> items_;
};
"""

PIECES = []


def piece(weight):
    def add(method):
        PIECES.append((method, weight))
        return method
    return add


class Writer:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.names = 0
        self.function_count = self.rng.randint(5, 9)
        self.class_count = self.rng.randint(4, 7)
        self.error_count = self.rng.randint(2, 5)
        self.classes = []  # what is known of each: bases, whether some are virtual
        self.loops = 0

    # ---- Small things
    def name(self, stem):
        self.names += 1
        return f"{stem}{self.names}"

    def pick(self, *choices):
        return self.rng.choice(choices)

    def constant(self):
        return self.pick("0", "1", "3", "7", "255", "0x80000000u", "0xffffffffffffffffu", str(self.rng.randrange(1 << 16))) + (
            "u" if self.rng.random() < 0 else "")

    def value(self, depth=2):
        """An expression of type u64."""
        roll = self.rng.random()
        if depth == 0 or roll < 0.3:
            return self.pick(*self.variables)
        if roll < 0.4:
            return f"u64{{{self.constant()}}}"
        a, b = self.value(depth - 1), self.value(depth - 1)
        return self.pick(f"({a} + {b})", f"({a} * {b})", f"({a} ^ {b})", f"({a} - {b})", f"({a} >> ({b} & 31))", f"({a} << ({b} & 15))",
                         f"({a} / ({b} | 1))", f"({a} % ({b} | 3))", f"({a} & {b})", f"(u64)(i32)({a})", f"(u64)(unsigned char)({a})",
                         f"(u64)(signed char)({a})", f"({a} < {b} ? {a} : {b})", f"(u64)((double)({a} & 0xfffff) * 0.5 + (double)({b} & 255))")

    def condition(self):
        return f"({self.value()} & {self.pick(1, 2, 3, 4, 7)}) {self.pick('==', '!=')} {self.pick(0, 1)}"

    def call(self):
        return f"f{self.rng.randrange(self.function_count)}({self.value()}, depth - 1)"

    def error(self):
        kind = self.rng.randrange(self.error_count + 3)
        if kind < self.error_count:
            return f"E{kind}({self.value()})"
        return self.pick(f"(i32)({self.value()} & 1023)", f'std::string("thrown ") + std::to_string({self.value()} & 255)',
                         f'std::runtime_error("{self.name("why")}")', f'Tracer("thrown", {self.value()})')

    def block(self, depth, count=None):
        """Statements in a scope of their own."""
        known = list(self.variables)
        result = []
        for _ in range(count or self.rng.randint(1, 3)):
            if self.rng.random() < 0.5:
                result.append("STEP();")
            result += self.statement(depth)
        self.variables = known
        return result

    def statement(self, depth):
        method, _ = self.rng.choices(PIECES, [w for _, w in PIECES])[0]
        return method(self, depth - 1) if depth > 0 else self.simple(0)

    # ---- Pieces
    @piece(6)
    def simple(self, _):
        if self.rng.random() < 0.4:
            return [f"x = {self.value()};"]
        v = self.name("v")
        line = f"u64 {v} = {self.value()};"
        self.variables.append(v)
        return [line, f"mix({v});"]

    @piece(5)
    def calls(self, _):
        return [f"x += {self.call()};"]

    @piece(4)
    def branch(self, depth):
        return [f"if ({self.condition()}) {{", *self.block(depth), "} else {", *self.block(depth), "}"]

    @piece(3)
    def loop(self, depth):
        i = self.name("i")
        self.loops += 1
        count = self.rng.randint(2, 6)
        known = list(self.variables)
        self.variables.append(i)
        body = self.block(depth)
        self.variables = known
        jump = self.pick("", f"if ({self.condition()}) continue;", f"if ({self.condition()}) break;")
        return [f"for (u64 {i} = 0; {i} < {count}; {i}++) {{", jump, *body, "}"]

    @piece(2)
    def switch(self, depth):
        lines = [f"switch ({self.value()} % 4) {{"]
        for n in range(self.rng.randint(1, 4)):
            lines += [f"case {n}: {{", *self.block(depth, 1), "}", self.pick("break;", "[[fallthrough]];") if n < 3 else "break;"]
        return [*lines, "default: mix(4); }"]

    @piece(4)
    def throws(self, _):
        return [f"if ({self.condition()}) throw {self.error()};"]

    @piece(6)
    def catches(self, depth):
        lines = ["try {", f'Tracer t{self.names}("in try", {self.value()});', *self.block(depth), f"x ^= {self.call()};", "}"]
        kinds = [f"const E{n}& e" for n in range(self.error_count - 1, -1, -1)] + ["const Plain& e", "i32 e", "const std::string& e", "const std::runtime_error& e"]
        chosen = [k for k in kinds if self.rng.random() < 0.5]
        for kind in chosen:
            text = "e.value" if "E" in kind or "Plain" in kind else "(u64)e" if "i32" in kind else "text_sum(e)" if "string" in kind else "u64{5}"
            again = self.pick("", "", f"if ({self.condition()}) throw;", f"if ({self.condition()}) throw {self.error()};",
                              f"if ({self.condition()}) std::throw_with_nested(Plain{{x}});" if "i32" not in kind else "")
            lines += [f"catch ({kind}) {{", f'say("caught {kind.split()[-2].strip("&")}", {text});', *self.block(depth, 1), again, "}"]
        if self.rng.random() < 0.8 or not chosen:
            again = self.pick("", "", "if ((x & 7) == 3) throw;", "kept = std::current_exception();")
            lines += ["catch (...) {", 'say("caught something", x);', *self.block(depth, 1), again, "}"]
        return lines

    @piece(1)
    def rethrows_kept(self, _):
        return ["if (kept && (x & 1)) { auto now = std::exchange(kept, {}); std::rethrow_exception(now); }"]

    @piece(1)
    def unnests(self, _):
        return ["try { try { if (x & 1) throw E0(x); } catch (...) { std::throw_with_nested(Plain{x + 1}); } }",
                "catch (const Plain& outer) {", "  mix(outer.value);",
                '  try { std::rethrow_if_nested(outer); } catch (const E0& inner) { say("nested", inner.value); }', "}"]

    @piece(3)
    def traced(self, depth):
        t = self.name("t")
        return ["{", f'Tracer {t}("{t}", {self.value()});', *self.block(depth), f"x += {t}.value;", "}"]

    @piece(5)
    def objects(self, depth):
        """A few objects, called through their bases."""
        o = self.name("o")
        lines = ["{", f"InOrder<std::vector<std::unique_ptr<Base>>> {o};"]
        for _ in range(self.rng.randint(1, 3)):
            lines.append(f"{o}.push_back(std::make_unique<C{self.rng.randrange(self.class_count)}>({self.value()}));")
        lines += [f"for (auto& one : {o}) {{", "x ^= one->run(x, depth);", f"if (auto* other = dynamic_cast<{self.pick('Left', 'Right')}*>(one.get())) x += other->side(x);",
                  f"if (typeid(*one) == typeid(C{self.rng.randrange(self.class_count)})) mix(9);", "}", *self.block(depth, 1),
                  self.pick("", f"std::swap({o}.front(), {o}.back());", f"{o}.erase({o}.begin());"), "}"]
        return lines

    @piece(1)
    def member_pointers(self, _):
        c = self.rng.randrange(self.class_count)
        o = self.name("o")
        return ["{", f"C{c} {o}({self.value()});", f"u64 (C{c}::*call)(u64, int) = &C{c}::run;", f"u64 C{c}::*field = &C{c}::own{c};",
                f"x += ({o}.*call)({self.value()}, 0) + {o}.*field;", f"x += {o}.twice();", "}"]

    @piece(3)
    def strings(self, _):
        s = self.name("s")
        return ["{", f"std::string {s} = std::to_string({self.value()});", f'for (int i = 0; i < {self.rng.randint(1, 9)}; i++) {{ {s} += (char)(\'a\' + (x >> i) % 26); STEP(); }}',
                self.pick(f"std::reverse({s}.begin(), {s}.end());", f"{s} = {s}.substr({s}.size() / 2) + {s};", f'if ({s}.find("3") != std::string::npos) {s}.replace(0, 1, "<three>");',
                          f"std::ostringstream out; out << {s} << ' ' << (x & 0xffff) << std::hex << x; {s} = out.str();"),
                f"mix(text_sum({s}));", f"x += {s}.size();", "}"]

    @piece(4)
    def containers(self, _):
        c = self.name("c")
        n = self.rng.randint(3, 12)
        fill = f"for (u64 i = 0; i < {n}; i++) {{ STEP(); "
        kind = self.rng.randrange(8)
        made = [
            [f"std::map<std::string, u64> {c};", fill + f"{c}[std::to_string((x * (i + 3)) % 17)] += i; }}", f"for (auto& [key, v] : {c}) mix(text_sum(key) + v);"],
            [f"std::unordered_map<u64, std::string> {c};", fill + f"{c}[(x + i * i) % 23] += (char)('a' + i); }}",
             f"for (u64 i = 0; i < 23; i++) if (auto at = {c}.find(i); at != {c}.end()) mix(text_sum(at->second));"],
            [f"std::vector<std::pair<u64, u64>> {c};", fill + f"{c}.emplace_back((x >> i) % 50, i); }}",
             f"std::sort({c}.begin(), {c}.end(), [](auto& a, auto& b) {{ STEP(); return a > b; }});", f"for (auto& p : {c}) mix(p.first * 100 + p.second);"],
            [f"InOrder<std::deque<Tracer>> {c};", fill + f'if (i & 1) {c}.emplace_back("back", x + i); else {c}.emplace_front("front", x - i); }}', f"while ({c}.size() > 2) {c}.pop_front();"],
            [f"std::list<u64> {c};", fill + f"{c}.push_back((x * (i | 1)) % 99); }}", f"{c}.sort();", f"{c}.unique();", f"mix(std::accumulate({c}.begin(), {c}.end(), u64{{0}}));"],
            [f"std::priority_queue<u64> {c};", fill + f"{c}.push((x ^ (i * 77)) % 1000); }}", f"while (!{c}.empty()) {{ mix({c}.top()); {c}.pop(); }}"],
            [f"std::set<std::string> {c};", fill + f"{c}.insert(std::string(i % 4 + 1, (char)('a' + (x >> i) % 5))); }}", f"for (auto& s : {c}) mix(text_sum(s));"],
            [f"Stack<std::string> {c};", fill + f"{c}.push(std::to_string(x + i)); }}", f"try {{ for (;;) mix(text_sum({c}.pop())); }} catch (const std::out_of_range&) {{ mix({c}.size()); }}"],
        ][kind]
        return ["{", *made, f"x += {n};", "}"]

    @piece(3)
    def functions(self, depth):
        f = self.name("g")
        known = list(self.variables)
        self.variables = ["a", *known]
        inner = self.value()
        self.variables = known
        return ["{", f"std::vector<std::function<u64(u64)>> {f};", f"u64 captured = {self.value()};", f"{f}.push_back([=](u64 a) {{ STEP(); return {inner} + captured; }});",
                f"{f}.push_back([&](u64 a) {{ captured += a; return captured; }});",
                f"{f}.push_back([own = std::make_unique<u64>(x).get() ? x : 0, n = u64{{0}}](u64 a) mutable {{ n += a; return own ^ n; }});",
                f"{f}.push_back([copy = {f}](u64 a) {{ u64 s = 0; for (auto& one : copy) s += one(a); return s; }});",
                f"for (auto& one : {f}) {{ STEP(); x = x * 5 + one({self.value()}); }}",
                self.pick("", f"{f}[0] = nullptr; try {{ {f}[0](1); }} catch (const std::bad_function_call&) {{ mix(6); }}"), "}"]

    @piece(2)
    def recursion(self, _):
        r = self.name("r")
        return [f"std::function<u64(u64)> {r} = [&](u64 n) -> u64 {{ STEP(); Tracer here(\"deep\", n); if (n < 2) {{ if (x & 4) throw E0(n); return n; }} return {r}(n - 1) + {r}(n - 2); }};",
                f"try {{ x += {r}({self.rng.randint(3, 7)}); }} catch (const E0& e) {{ mix(e.value); }}"]

    @piece(2)
    def coroutines(self, _):
        n = self.rng.randint(2, 9)
        return ["{", f"auto g = {self.pick('numbers', 'through')}({self.value()}, {n});", "try { while (g.next()) { STEP(); mix(g.handle.promise().value); } }",
                "catch (i32 e) { say(\"of a coroutine\", (u64)e); }", "}"]

    @piece(2)
    def templates(self, _):
        return [f"x += Power<{self.rng.randint(1, 6)}>::of({self.value()}) + fold({', '.join(self.value(1) for _ in range(self.rng.randint(1, 5)))});"]

    @piece(2)
    def variants(self, _):
        v = self.name("v")
        return ["{", f"std::variant<u64, std::string, std::vector<u64>> {v};", f"switch (x % 3) {{ case 0: {v} = {self.value()}; break; case 1: {v} = std::to_string(x); break; default: {v} = std::vector<u64>{{x, 2, 3}}; }}",
                f"mix(std::visit([](auto& one) -> u64 {{ STEP(); using T = std::decay_t<decltype(one)>; if constexpr (std::is_same_v<T, u64>) return one; else return one.size(); }}, {v}));",
                f"try {{ mix(std::get<0>({v})); }} catch (const std::bad_variant_access&) {{ mix(8); }}", "std::optional<Tracer> maybe;",
                f'if ({self.condition()}) maybe.emplace("maybe", x);', "x += maybe ? maybe->value : 1;",
                "std::any any = std::string(\"any\"); try { mix((u64)std::any_cast<int>(any)); } catch (const std::bad_any_cast&) { mix(text_sum(std::any_cast<std::string>(any))); }", "}"]

    @piece(1)
    def statics(self, _):
        s = self.name("once")
        return [f"try {{ static Tracer {s}(\"static\", checked(x)); x += {s}.value; }} catch (i32 e) {{ say(\"static failed\", (u64)e); }}"]

    @piece(1)
    def raw(self, _):
        return ["{", f"union {{ u64 whole; unsigned char bytes[8]; }} bits = {{{self.value()}}};", "x += bits.bytes[(x >> 3) & 7];", "struct { unsigned a : 5, b : 11; signed c : 7; } fields = {};",
                "fields.a = (unsigned)x & 31; fields.b = (unsigned)(x >> 7) & 2047; fields.c = (int)(x >> 9) % 60; mix((u64)(fields.a * 3 + fields.b) + (u64)(i32)fields.c);",
                "alignas(Tracer) unsigned char room[sizeof(Tracer)]; auto* placed = new (room) Tracer(\"placed\", x); x ^= placed->value; placed->~Tracer();",
                f"mix(total(3, {self.value()}, {self.value()}, x));", f"double d = (double)(x & 0xffff) / 7.0; mix((u64)(d * d * 1000.0)); u64 bytes; std::memcpy(&bytes, &d, 8); mix(bytes);", "}"]

    @piece(1)
    def shares(self, _):
        return ["{", "auto shared = std::make_shared<Tracer>(\"shared\", x); std::weak_ptr<Tracer> weak = shared; auto second = shared;",
                f"shared.reset(); {self.pick('second.reset();', '')} x += weak.expired() ? 1 : weak.lock()->value + (u64)weak.use_count();", "}"]

    @piece(1)
    def threads(self, _):
        n = self.rng.randint(2, 3)
        return ["if (threads_left > 0) {", "threads_left--;", "std::mutex lock; std::atomic<u64> all{0}; u64 guarded = 0; std::exception_ptr failed;", "std::vector<std::thread> team;",
                f"for (u64 n = 0; n < {n}; n++) team.emplace_back([&, n, seen = x] {{", "  try { for (u64 i = 0; i < 5; i++) { STEP(); all += seen % 1000 + i; std::lock_guard held(lock); guarded += n * i; }",
                "    if (n == 1 && (seen & 1)) throw E0(seen); } catch (...) { std::lock_guard held(lock); failed = std::current_exception(); } });",
                "for (auto& one : team) one.join();", "x += all + guarded; if (failed) try { std::rethrow_exception(failed); } catch (const E0& e) { say(\"of a thread\", e.value); }", "}"]

    # ---- The program
    def errors(self):
        lines = ["struct E0 : std::runtime_error { u64 value; Tracer inner; explicit E0(u64 v) : std::runtime_error(\"E0\"), value(v), inner(\"error\", v * 3 + 1) {} };",
                 "struct E1 { u64 value; std::string text = \"a text that is too long for its own room\"; explicit E1(u64 v) : value(v) {} virtual ~E1() { mix(value); } };"]
        for n in range(2, self.error_count):
            base = self.rng.randrange(n)
            lines.append(f"struct E{n} : E{base} {{ u64 more; explicit E{n}(u64 v) : E{base}(v ^ {n}), more(v) {{ STEP(); }} }};")
        self.error_count = max(self.error_count, 2)
        return lines

    def klass(self, n):
        earlier = self.classes
        bases = []
        if earlier and self.rng.random() < 0.6:
            bases.append(f"C{self.rng.randrange(len(earlier))}")
        own_base = not bases
        how = self.pick("public", "public virtual")
        heads = [f"public {bases[0]}"] if bases else [f"{how} Base"]
        for side in ("Left", "Right"):
            if own_base and self.rng.random() < 0.6:
                heads.append(f"{self.pick('public', 'public virtual')} {side}")
        self.rng.shuffle(heads)
        self.classes.append(heads)
        twice = f"public Counted<C{n}>" if own_base else None
        if twice:
            heads.append(twice)
        has_side = any("Left" in h or "Right" in h for h in heads)
        self.variables = ["x", f"own{n}"]
        lines = [f"struct C{n} : {', '.join(heads)} {{", f"u64 own{n}; Tracer part{n}; {self.pick('std::string', 'std::string')} text{n};"]
        init = f"{bases[0]}(v + 1), " if bases else ""
        lines += [f"explicit C{n}(u64 v) : {init}own{n}(v), part{n}(\"part{n}\", v), text{n}(v % 30, 'x') {{ STEP(); {self.pick('', f'if (v % 11 == {n}) throw E0(v);', 'mix(run(v, 0));')} }}",
                  f"~C{n}() {{ STEP(); mix(own{n} + text{n}.size()); }}"]
        parent = f"{bases[0]}::run(x, depth)" if bases and self.rng.random() < 0.5 else "x"
        lines += [f"u64 run(u64 x, int depth) override {{ STEP(); own{n} += {self.value()}; {f'if (depth > 0 && (x & 1)) x += {self.call()};' if self.rng.random() < 0.5 else ''} return {parent} ^ own{n}; }}"]
        if self.rng.random() < 0.7:
            lines.append(f"u64 weight() const override {{ return own{n} + text{n}.size(); }}")
        if has_side and self.rng.random() < 0.8:
            lines.append(f"u64 side(u64 x) override {{ STEP(); return {self.value()}; }}")
        lines.append("};")
        return lines

    def function(self, n):
        self.variables = ["x"]
        lines = [f"u64 f{n}(u64 x, int depth) {{", f"if (depth <= 0 || ++calls > 3000) return x + {n};"]
        for _ in range(self.rng.randint(3, 6)):
            lines.append("STEP();")
            lines += self.statement(3)
        return [*lines, "return x;", "}"]

    def program(self):
        lines = [PRELUDE]
        self.error_count = max(self.error_count, 2)
        lines += self.errors()
        lines += [f"u64 f{n}(u64 x, int depth);" for n in range(self.function_count)]
        lines += ["static std::exception_ptr kept;", "[[maybe_unused]] static int threads_left = 6;",
                  "[[maybe_unused]] static u64 checked(u64 x) { STEP(); if (x % 3 == 1) throw (i32)(x & 255); return x; }",
                  "struct Base { virtual ~Base() { mix(1); } virtual u64 run(u64 x, int depth) = 0; virtual u64 weight() const { return 5; } };",
                  "struct Left { u64 left = 3; virtual ~Left() { mix(left); } virtual u64 side(u64 x) { STEP(); return x + left; } };",
                  "struct Right { std::string right = \"r\"; virtual ~Right() = default; virtual u64 side(u64 x) { STEP(); return x + right.size(); } };",
                  "Generator<u64> numbers(u64 x, u64 n) { Tracer held(\"coroutine\", x); for (u64 i = 0; i < n; i++) { STEP(); co_yield x * i; } if (x & 1) throw (i32)(x & 4095); }",
                  "[[maybe_unused]] Generator<u64> through(u64 x, u64 n) { auto g = numbers(x, n); std::string s; while (g.next()) { s += 'y'; co_yield g.handle.promise().value + s.size(); } }"]
        for n in range(self.class_count):
            lines += self.klass(n)
        for n in range(self.function_count):
            lines += self.function(n)
        rounds = self.rng.randint(2, 4)
        lines += ["int main() {", f"for (u64 i = 0; i < {rounds}; i++) {{", "calls = 0;"]
        for n in range(self.function_count):
            lines += ["try {", f"mix(f{n}(i * {self.rng.randrange(1, 999)} + {n}, {self.rng.randint(3, 5)}));", "}", "catch (const std::exception&) { mix(21); }", "catch (...) { mix(22); }",
                      f'say("f{n}", i);']
        return "\n".join([*lines, "}", 'std::printf("%016llx\\n", (unsigned long long)sum);', "return (int)(sum % 50);", "}", ""])


def program(seed):
    return Writer(seed).program()
