#include "confine/network.h"  // first, so that the header proves self-contained

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/ethernet.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "confine/assembly.h"

namespace godwit::confine {
namespace {

using delegation::Network;
using Networks = std::vector<Network>;

// Registers: 6 the context, 8 where the payload begins, 9 the port in host order. Of the stack the 16 bytes below its end hold
// the address, in network order; below them lies the header of the packet.
constexpr uint8_t kContext = BPF_REG_6, kPayload = BPF_REG_8, kPort = BPF_REG_9, kStack = BPF_REG_10;
constexpr int16_t kAddress = -16, kHeader = -64, kTransport = -80;
constexpr int32_t kHelperLoadBytes = 26;
constexpr unsigned kMaxPort = 65535;

template <typename T>
long bpf(int command, T& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

// --- fragments of programs ----------------------------------------------------------------------------------------------

void unless_armed(Assembly& a, int map, Assembly::Label pass) {
  a.map_value(BPF_REG_1, map);
  a.load(BPF_W, BPF_REG_1, BPF_REG_1, 0);
  a.jump_if(BPF_JEQ, BPF_REG_1, 0, pass);
}

/// Jumps to `match` when address and port are in one of the networks. `no_port`: of a protocol without: all ports or none.
void if_within(Assembly& a, const Networks& networks, bool v6, bool no_port, Assembly::Label match) {
  for (const Network& network : networks) {
    const bool all_ports = network.low == 0 && network.high == kMaxPort;
    if (network.v6 != v6 || (no_port && !all_ports)) continue;
    const auto next = a.label();
    for (unsigned word = 0; word * 32 < network.prefix; word++) {
      const unsigned bits = std::min(32u, network.prefix - word * 32);
      const uint32_t mask = htonl(bits == 32 ? ~0u : ~(~0u >> bits));
      uint32_t wanted = 0;
      std::memcpy(&wanted, network.address.data() + size_t{word} * 4, sizeof wanted);
      a.load(BPF_W, BPF_REG_2, kStack, static_cast<int16_t>(kAddress + static_cast<int>(word) * 4));
      if (bits != 32) a.bit_and(BPF_REG_2, mask);
      a.jump_if(BPF_JNE, BPF_REG_2, wanted, next);
    }
    if (network.low != 0) a.jump_if(BPF_JLT, kPort, network.low, next);
    if (network.high != kMaxPort) a.jump_if(BPF_JGT, kPort, network.high, next);
    a.jump(match);
    a.place(next);
  }
}

void copy_words(Assembly& a, uint8_t base, int16_t from, int words) {
  for (int i = 0; i < words; i++) {
    a.load(BPF_W, BPF_REG_2, base, static_cast<int16_t>(from + i * 4));
    a.store(BPF_W, kStack, static_cast<int16_t>(kAddress + i * 4), BPF_REG_2);
  }
}

void load_port(Assembly& a, uint8_t base, int16_t from, uint8_t size) {
  a.load(size, kPort, base, from);
  a.host_order(kPort);
}

void load_bytes(Assembly& a, int16_t to, int32_t length, Assembly::Label drop) {
  a.move(BPF_REG_1, kContext);
  a.move(BPF_REG_2, kPayload);
  a.move(BPF_REG_3, kStack);
  a.add(BPF_REG_3, to);
  a.set(BPF_REG_4, length);
  a.call(kHelperLoadBytes);
  a.jump_if(BPF_JNE, BPF_REG_0, 0, drop);
}

void verdicts(Assembly& a, Assembly::Label pass, Assembly::Label drop) {
  a.place(drop);
  a.give(0);
  a.place(pass);
  a.give(1);
}

// --- programs -----------------------------------------------------------------------------------------------------------

/// Of a call with an address. `any_port`: port 0 passes.
std::vector<bpf_insn> call_program(const Networks& networks, bool v6, bool any_port, int map) {
  Assembly a;
  const auto pass = a.label(), drop = a.label();
  a.move(kContext, BPF_REG_1);
  unless_armed(a, map, pass);
  load_port(a, kContext, offsetof(bpf_sock_addr, user_port), BPF_W);
  if (any_port) a.jump_if(BPF_JEQ, kPort, 0, pass);
  if (v6) {
    copy_words(a, kContext, offsetof(bpf_sock_addr, user_ip6), 4);
    const auto real = a.label();
    // ::ffff:1.2.3.4 is IPv4.
    for (const auto& [word, value] : {std::pair{0, 0u}, {1, 0u}, {2, htonl(0xffff)}}) {
      a.load(BPF_W, BPF_REG_2, kStack, static_cast<int16_t>(kAddress + word * 4));
      a.jump_if(BPF_JNE, BPF_REG_2, value, real);
    }
    a.load(BPF_W, BPF_REG_2, kStack, kAddress + 12);
    a.store(BPF_W, kStack, kAddress, BPF_REG_2);
    if_within(a, networks, false, false, pass);
    a.jump(drop);
    a.place(real);
  } else {
    copy_words(a, kContext, offsetof(bpf_sock_addr, user_ip4), 1);
  }
  if_within(a, networks, v6, false, pass);
  verdicts(a, pass, drop);
  return a.code();
}

struct Header {
  bool v6;
  int length;
  int16_t protocol, source, destination;
};
constexpr Header kIpv4{false, 20, 9, 12, 16}, kIpv6{true, 40, 6, 8, 24};

struct Packet {
  const NetworkRules& rules;
  bool leaves;
  Assembly::Label pass, drop;
};

/// One that opens a connection passes only to (or at) an address of the rules; all others do.
void judge_tcp(Assembly& a, const Packet& p, const Header& h) {
  constexpr uint32_t kSynAck = 0x12, kSyn = 0x02;
  load_bytes(a, kTransport, 14, p.drop);
  a.load(BPF_B, BPF_REG_2, kStack, kTransport + 13);
  a.bit_and(BPF_REG_2, kSynAck);
  a.jump_if(BPF_JNE, BPF_REG_2, kSyn, p.pass);
  copy_words(a, kStack, static_cast<int16_t>(kHeader + h.destination), h.v6 ? 4 : 1);
  load_port(a, kStack, kTransport + 2, BPF_H);
  if_within(a, p.leaves ? p.rules.connect : p.rules.listen, h.v6, false, p.pass);
  a.jump(p.drop);
}

void judge_udp(Assembly& a, const Packet& p, const Header& h) {
  load_bytes(a, kTransport, 4, p.drop);
  if (!p.leaves) {
    copy_words(a, kStack, static_cast<int16_t>(kHeader + h.source), h.v6 ? 4 : 1);
    load_port(a, kStack, kTransport, BPF_H);
    if_within(a, p.rules.connect, h.v6, false, p.pass);
  }
  copy_words(a, kStack, static_cast<int16_t>(kHeader + h.destination), h.v6 ? 4 : 1);
  load_port(a, kStack, kTransport + 2, BPF_H);
  if_within(a, p.leaves ? p.rules.connect : p.rules.listen, h.v6, false, p.pass);
  a.jump(p.drop);
}

void judge_header(Assembly& a, const Packet& p, const Header& h) {
  a.set(kPayload, 0);
  load_bytes(a, kHeader, h.length, p.drop);
  if (h.v6) {
    a.set(kPayload, h.length);
  } else {
    constexpr uint32_t kFragmentOffset = 0x1fff;
    a.load(BPF_H, BPF_REG_2, kStack, kHeader + 6);
    a.bit_and(BPF_REG_2, htons(kFragmentOffset));
    a.jump_if(BPF_JNE, BPF_REG_2, 0, p.pass);  // what follows a first fragment, which was judged
    a.load(BPF_B, kPayload, kStack, kHeader);
    a.bit_and(kPayload, 0xf);
    a.shift_left(kPayload, 2);
  }
  const auto tcp = a.label(), udp = a.label();
  a.load(BPF_B, BPF_REG_2, kStack, static_cast<int16_t>(kHeader + h.protocol));
  a.jump_if(BPF_JEQ, BPF_REG_2, IPPROTO_TCP, tcp);
  a.jump_if(BPF_JEQ, BPF_REG_2, IPPROTO_UDP, udp);
  if (h.v6) {
    constexpr uint32_t kMobility = 135;
    for (const uint32_t extension : {uint32_t{IPPROTO_HOPOPTS}, uint32_t{IPPROTO_ROUTING}, uint32_t{IPPROTO_FRAGMENT},
                                     uint32_t{IPPROTO_DSTOPTS}, uint32_t{IPPROTO_AH}, kMobility})
      a.jump_if(BPF_JEQ, BPF_REG_2, extension, p.drop);
  }
  if (!p.leaves) a.jump(p.pass);
  copy_words(a, kStack, static_cast<int16_t>(kHeader + h.destination), h.v6 ? 4 : 1);
  if_within(a, p.rules.connect, h.v6, true, p.pass);
  a.jump(p.drop);
  a.place(tcp);
  judge_tcp(a, p, h);
  a.place(udp);
  judge_udp(a, p, h);
}

std::vector<bpf_insn> packet_program(const NetworkRules& rules, bool leaves, int map) {
  Assembly a;
  const Packet p{rules, leaves, a.label(), a.label()};
  a.move(kContext, BPF_REG_1);
  unless_armed(a, map, p.pass);
  const auto v6 = a.label();
  a.load(BPF_W, BPF_REG_2, kContext, offsetof(__sk_buff, protocol));
  a.jump_if(BPF_JEQ, BPF_REG_2, htons(ETHERTYPE_IPV6), v6);
  a.jump_if(BPF_JNE, BPF_REG_2, htons(ETHERTYPE_IP), p.drop);
  judge_header(a, p, kIpv4);
  a.place(v6);
  judge_header(a, p, kIpv6);
  verdicts(a, p.pass, p.drop);
  return a.code();
}

// --- the kernel's side --------------------------------------------------------------------------------------------------

Result<Fd> load(bpf_prog_type type, bpf_attach_type hook, const std::vector<bpf_insn>& code) {
  bpf_attr attributes{};
  attributes.prog_type = type;
  attributes.expected_attach_type = hook;
  attributes.insns = reinterpret_cast<uint64_t>(code.data());
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  static constexpr char kLicense[] = "GPL";
  attributes.license = reinterpret_cast<uint64_t>(kLicense);
  std::array<char, 4096> words{};
  Fd fd(static_cast<int>(bpf(BPF_PROG_LOAD, attributes)));
  if (fd.valid()) return fd;
  const int why = errno;
  if (why == EPERM || why == ENOSYS) return fail_errno(why, "loading a program on sockets");
  attributes.log_buf = reinterpret_cast<uint64_t>(words.data());
  attributes.log_size = static_cast<uint32_t>(words.size());
  attributes.log_level = 1;
  (void)bpf(BPF_PROG_LOAD, attributes);
  return fail_errno(why, "loading a program on sockets: " + std::string(words.data()));
}

Result<void> attach(const Fd& group, const Fd& program, bpf_attach_type hook) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(group.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attributes.attach_type = hook;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attributes) < 0) return fail_errno(errno, "a program on the unit's control group");
  return {};
}

Result<Fd> make_switch() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = sizeof(uint32_t);
  attributes.max_entries = 1;
  Fd fd(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
  if (!fd.valid()) return fail_errno(errno, "a map for programs on sockets");
  return fd;
}

}  // namespace

Result<NetworkGuard> NetworkGuard::make(const Fd& group, const NetworkRules& rules) {
  NetworkGuard guard;
  TRY(guard.armed_, make_switch());
  const int map = guard.armed_.get();
  struct Row {
    bpf_prog_type type;
    bpf_attach_type hook;
    std::vector<bpf_insn> code;
  };
  constexpr auto kCalls = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  const Row rows[] = {
      {kCalls, BPF_CGROUP_INET4_CONNECT, call_program(rules.connect, false, false, map)},
      {kCalls, BPF_CGROUP_INET6_CONNECT, call_program(rules.connect, true, false, map)},
      {kCalls, BPF_CGROUP_UDP4_SENDMSG, call_program(rules.connect, false, false, map)},
      {kCalls, BPF_CGROUP_UDP6_SENDMSG, call_program(rules.connect, true, false, map)},
      {kCalls, BPF_CGROUP_INET4_BIND, call_program(rules.listen, false, true, map)},
      {kCalls, BPF_CGROUP_INET6_BIND, call_program(rules.listen, true, true, map)},
      {BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, packet_program(rules, true, map)},
      {BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS, packet_program(rules, false, map)},
  };
  for (const Row& row : rows) {
    TRY(const Fd program, load(row.type, row.hook, row.code));
    TRY_DO(attach(group, program, row.hook));
  }
  return guard;
}

Result<void> NetworkGuard::arm() {
  const uint32_t key = 0, on = 1;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(armed_.get());
  attributes.key = reinterpret_cast<uint64_t>(&key);
  attributes.value = reinterpret_cast<uint64_t>(&on);
  if (bpf(BPF_MAP_UPDATE_ELEM, attributes) < 0) return fail_errno(errno, "switching the rules on addresses on");
  return {};
}

Result<void> NetworkGuard::probe() {
  Assembly a;
  a.give(1);
  TRY(const Fd program, load(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, a.code()));
  return {};
}

}  // namespace godwit::confine
