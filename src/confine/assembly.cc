#include "confine/assembly.h"  // first, so that the header proves self-contained

namespace godwit::confine {

void Assembly::put(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  if (!live_) return;
  bpf_insn insn{};
  insn.code = code;
  insn.dst_reg = to & 0xf;
  insn.src_reg = from & 0xf;
  insn.off = offset;
  insn.imm = value;
  code_.push_back(insn);
}

Assembly::Label Assembly::label() {
  labels_.emplace_back();
  return labels_.size() - 1;
}

void Assembly::place(Label label) {
  for (const std::size_t use : labels_[label].uses) code_[use].off = static_cast<int16_t>(code_.size() - use - 1);
  live_ = live_ || wanted(label);
}

void Assembly::move(uint8_t to, uint8_t from) { put(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
void Assembly::set(uint8_t to, int32_t value) { put(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
void Assembly::add(uint8_t to, int32_t value) { put(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value); }
void Assembly::bit_and(uint8_t to, uint32_t value) {
  put(BPF_ALU | BPF_AND | BPF_K, to, 0, 0, static_cast<int32_t>(value));
}
void Assembly::shift_left(uint8_t to, int32_t bits) { put(BPF_ALU | BPF_LSH | BPF_K, to, 0, 0, bits); }
void Assembly::host_order(uint8_t reg) { put(BPF_ALU | BPF_END | BPF_TO_BE, reg, 0, 0, 16); }

void Assembly::load(uint8_t size, uint8_t to, uint8_t base, int16_t offset) {
  put(static_cast<uint8_t>(BPF_LDX | BPF_MEM | size), to, base, offset, 0);
}

void Assembly::store(uint8_t size, uint8_t base, int16_t offset, uint8_t from) {
  put(static_cast<uint8_t>(BPF_STX | BPF_MEM | size), base, from, offset, 0);
}

void Assembly::map_value(uint8_t to, int map) {
  put(BPF_LD | BPF_DW | BPF_IMM, to, BPF_PSEUDO_MAP_VALUE, 0, map);
  put(0, 0, 0, 0, 0);
}

void Assembly::call(int32_t helper) { put(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }

void Assembly::jump_if(uint8_t operation, uint8_t reg, uint32_t value, Label to) {
  if (live_) labels_[to].uses.push_back(code_.size());
  put(static_cast<uint8_t>(BPF_JMP32 | operation | BPF_K), reg, 0, 0, static_cast<int32_t>(value));
}

void Assembly::jump(Label to) {
  if (live_) labels_[to].uses.push_back(code_.size());
  put(BPF_JMP | BPF_JA, 0, 0, 0, 0);
  live_ = false;
}

void Assembly::give(int32_t value) {
  set(BPF_REG_0, value);
  put(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  live_ = false;
}

}  // namespace godwit::confine
