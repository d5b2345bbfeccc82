// Calls through tables of virtual functions, objects behind smart pointers.
#include <memory>
#include <vector>

#include "../kernel.h"

constexpr int kRounds = 1200;

struct Shape {
  virtual ~Shape() = default;
  virtual uint32_t next(uint32_t x) const = 0;
};
struct Adder : Shape {
  explicit Adder(uint32_t by) : by_(by) {}
  uint32_t next(uint32_t x) const override { return x + by_; }
  uint32_t by_;
};
struct Mixer : Shape {
  uint32_t next(uint32_t x) const override { return (x ^ x >> 13) * 0x9e3779b1u; }
};

static int rounds;
static uint32_t result;
static std::vector<std::unique_ptr<Shape>> shapes;

static void prepare() {
  rounds = scaled(kRounds);
  uint64_t state = 2;
  for (uint32_t i = 0; i < 50000; ++i)
    if (next_random(&state) % 2)
      shapes.push_back(std::make_unique<Adder>(i));
    else
      shapes.push_back(std::make_unique<Mixer>());
}
static void fill() { result = 1; }

static void work() {
  for (int i = 0; i < rounds; ++i)
    for (const auto& shape : shapes) result = shape->next(result);
}
static double sum() { return result; }
