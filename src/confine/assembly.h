// BPF instructions with labels. What can't be reached isn't written: the kernel refuses programs that have such a part.
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace godwit::confine {

class Assembly {
 public:
  using Label = std::size_t;
  Label label();
  /// Whether anything jumps there.
  [[nodiscard]] bool wanted(Label label) const { return !labels_[label].uses.empty(); }
  void place(Label label);
  /// Whether the next instruction would be reached.
  [[nodiscard]] bool live() const { return live_; }

  void move(uint8_t to, uint8_t from);
  void set(uint8_t to, int32_t value);
  void add(uint8_t to, int32_t value);
  void bit_and(uint8_t to, uint32_t value);
  void shift_left(uint8_t to, int32_t bits);
  /// The low 16 bits, from network order.
  void host_order(uint8_t reg);
  /// `size`: BPF_B, BPF_H, BPF_W.
  void load(uint8_t size, uint8_t to, uint8_t base, int16_t offset);
  void store(uint8_t size, uint8_t base, int16_t offset, uint8_t from);
  /// The address of the first element of an array map.
  void map_value(uint8_t to, int map);
  void call(int32_t helper);
  /// 32 bits are compared; `operation`: BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JLT.
  void jump_if(uint8_t operation, uint8_t reg, uint32_t value, Label to);
  void jump(Label to);
  void give(int32_t value);  ///< and end

  [[nodiscard]] const std::vector<bpf_insn>& code() const { return code_; }

 private:
  struct Target {
    std::vector<std::size_t> uses;
  };
  void put(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value);
  std::vector<bpf_insn> code_;
  std::vector<Target> labels_;
  bool live_ = true;
};

}  // namespace godwit::confine
