// The destination's half: see engine.h; what is said to the waiting program is in runtime/arrive.cc.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "base/base.h"
#include "base/memory_room.h"
#include "base/pki.h"
#include "portable/engine/engine.h"
#include "portable/engine/memory.h"
#include "portable/protocol.h"
#include "portable/request.h"

namespace godwit::portable {
namespace {

constexpr std::chrono::seconds kStart{30};  // the first start on a machine unpacks the program
constexpr std::chrono::seconds kAnswer{30};

/// Puts pages into the waiting program's memory.
class Writer : public engine::PageWriter {
 public:
  void open(Fd memory) { memory_ = std::move(memory); }
  /// Between two calls of the stream threads: the protocol sees to that.
  void announce(const pb::Outline& outline) { outline_ = &outline; }

  Result<void> write(std::span<const engine::PageRun> runs, std::span<const std::byte> data) override {
    for (const auto& run : runs) {
      TRY_DO(check_run(run));
      if (run.length > data.size()) return fail(Code::kCorrupt, "fewer bytes than pages");
      TRY_DO(put(run.address, data.first(run.length)));
      data = data.subspan(run.length);
    }
    return {};
  }
  Result<void> zero(std::span<const engine::PageRun> runs) override {
    static const std::vector<std::byte> kZeros(1 << 20);
    for (const auto& run : runs) {
      TRY_DO(check_run(run));
      for (uint64_t done = 0; done < run.length; done += kZeros.size())
        TRY_DO(put(run.address + done, std::span(kZeros).first(std::min<uint64_t>(kZeros.size(), run.length - done))));
    }
    return {};
  }

 private:
  Result<void> check_run(const engine::PageRun& run) const {
    if (outline_ != nullptr && covers(*outline_, run)) return {};
    return fail(Code::kCorrupt, fmt::format("pages at {:#x} that weren't announced", run.address));
  }
  Result<void> put(uint64_t address, std::span<const std::byte> data) const {
    return io::pwrite_full(memory_.get(), data, address);
  }
  Fd memory_;
  const pb::Outline* outline_ = nullptr;
};

class PortableDestination : public engine::DestinationEngine {
 public:
  explicit PortableDestination(DestinationOptions options) : options_(std::move(options)) {}

  Result<std::vector<engine::Blocker>> admit(const std::string& demands) override;
  Result<void> prepare(const std::string& outline) override;
  engine::PageWriter& writer() override { return writer_; }
  Result<void> restore(const std::string& state) override;
  Result<void> resume() override;
  Result<void> discard() override {
    peer_.reset();  // it ends by itself, if nobody ends it before
    return {};
  }

 private:
  Result<void> start(const std::string& program);
  Result<void> send(std::string_view bytes) const;
  Result<void> expect(std::string_view word, std::chrono::milliseconds limit);

  DestinationOptions options_;
  Writer writer_;
  pb::Outline outline_;
  Fd peer_;
};

Result<std::vector<engine::Blocker>> PortableDestination::admit(const std::string& demands) {
  pb::Demands wanted;
  if (!wanted.ParseFromString(demands)) return fail(Code::kCorrupt, "the unit's demands can't be read");
  std::vector<engine::Blocker> blockers;
  if (std::ranges::find(wanted.architectures(), options_.architecture) == wanted.architectures().end())
    blockers.push_back(
        make_blocker("portable-architecture", wanted.program(), "this node is an " + options_.architecture));
  if (options_.architecture == "s390x")
    for (const auto& object : wanted.numbers()) blockers.push_back(make_blocker("portable-numbers", object));
  if (const uint64_t room = memory_room(); wanted.memory_bytes() > room)
    blockers.push_back(make_blocker("portable-memory", wanted.program(),
                                    fmt::format("it has {} bytes, {} are free", wanted.memory_bytes(), room)));
  return blockers;
}

Result<void> PortableDestination::start(const std::string& program) {
  const std::string name = "godwit/portable/arrival/" + pki::random_hex(16);
  TRY(const Fd listener, listen_at(name));
  TRY(const pid_t pid, options_.start(program, "GODWIT_RESTORE_FROM=" + name));
  TRY(const Fd process, sys::pidfd_open(pid));
  auto peer = accept_from(listener, pid, process, kStart);
  if (!peer && peer.error().code == Code::kGone)
    return fail(Code::kFailed, program + " ended as soon as it was started: its last words are in the unit's output");
  if (!peer) return std::unexpected(peer.error());
  peer_ = std::move(*peer);
  TRY_DO(expect("waiting\n", kStart));
  TRY(Fd memory, sys::open_at(options_.proc, fmt::format("{}/mem", pid), O_RDWR));
  writer_.open(std::move(memory));
  return {};
}

Result<void> PortableDestination::prepare(const std::string& text) {
  pb::Outline outline;
  if (!outline.ParseFromString(text)) return fail(Code::kCorrupt, "the unit's outline can't be read");
  TRY_DO(check(outline));
  if (!peer_.valid()) TRY_DO(start(outline.program()));
  std::string message(sizeof(godwit_arrival_order), '\0');
  const godwit_arrival_order order{GODWIT_ARRIVAL_AREAS, static_cast<uint32_t>(outline.areas_size())};
  message.replace(0, sizeof order, reinterpret_cast<const char*>(&order), sizeof order);
  for (const auto& area : outline.areas()) {
    const godwit_image_region row{area.start(), area.end() - area.start(), 3 /* read, write */,
                                  area.shared() ? GODWIT_REGION_SHARED : GODWIT_REGION_MAPPED};
    message.append(reinterpret_cast<const char*>(&row), sizeof row);
  }
  TRY_DO(send(message));
  TRY_DO(expect("mapped\n", kAnswer));
  outline_ = std::move(outline);
  writer_.announce(outline_);
  return {};
}

Result<void> PortableDestination::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(errno, "speaking with the arriving program");
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

/// The program's next line. What isn't the word that was to come is why it can't go on, and nothing comes after it.
Result<void> PortableDestination::expect(std::string_view word, std::chrono::milliseconds limit) {
  std::string line;
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!line.ends_with('\n')) {
    const int peer = peer_.get();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    TRY(const auto ready, io::wait_readable({&peer, 1}, std::max(left, std::chrono::milliseconds(0))));
    if (!ready) return fail(Code::kFailed, "the arriving program doesn't answer");
    char bytes[512];
    const ssize_t got = ::recv(peer_.get(), bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    line.append(bytes, static_cast<size_t>(got));
  }
  if (line == word) return {};
  if (line.empty()) return fail(Code::kFailed, "the arriving program has ended");
  line.resize(std::min(line.find('\n'), line.size()));
  return fail(Code::kFailed, line);
}

Result<void> PortableDestination::restore(const std::string& text) {
  pb::State state;
  if (!peer_.valid() || !state.ParseFromString(text)) return fail(Code::kCorrupt, "the unit's state can't be read");
  const godwit_arrival_order order{GODWIT_ARRIVAL_IMAGE, 0};
  TRY_DO(send({reinterpret_cast<const char*>(&order), sizeof order}));
  TRY_DO(send(state.image()));
  return expect("restored\n", kAnswer);
}

Result<void> PortableDestination::resume() { return send(std::string_view("\1", 1)); }

}  // namespace

Result<std::unique_ptr<engine::DestinationEngine>> make_destination(DestinationOptions options) {
  return std::make_unique<PortableDestination>(std::move(options));
}

}  // namespace godwit::portable
