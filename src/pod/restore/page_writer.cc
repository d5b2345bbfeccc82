// The way of arriving pages into what was built for them: into a blank process, a shared object, or the keeping of LateMemory.
// Called by the stream threads, which trust nothing that the peer says of a place: check_runs().
#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "base/io.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

using Range = std::pair<uint64_t, uint64_t>;
constexpr uint64_t kPage = 4096;

}  // namespace

void Restorer::refresh_targets() {
  const std::unique_lock lock(targets_mutex_);
  for (const auto& blank : blanks_) {
    if (blank->space == 0) continue;
    Target& target = targets_[blank->space];
    if (target.host_pid != blank->host_pid) {
      target.host_pid = blank->host_pid;
      if (auto mem = proc_.open(blank->host_pid, "mem", O_RDWR)) target.mem = std::move(*mem);
    }
    target.private_areas.clear();
    for (const auto& area : blank->areas) {
      if (area.shared()) continue;
      if (!target.private_areas.empty() && target.private_areas.back().second == area.start())
        target.private_areas.back().second = area.end();
      else
        target.private_areas.emplace_back(area.start(), area.end());
    }
  }
  for (auto& [id, object] : shared_) targets_[id].object = &object;
}

Result<void> Restorer::check_runs(const Target& target, const PageRun& run) const {
  auto bad = [&] {
    return fail(Code::kCorrupt,
                "pages for " + std::to_string(run.address) + ", where the unit has no memory of its own");
  };
  if (run.address % kPage != 0 || run.length % kPage != 0 || run.length == 0 || run.address + run.length < run.address)
    return bad();
  if (target.object != nullptr) {
    if (run.address + run.length > target.object->size) return bad();
    return {};
  }
  const auto next = std::ranges::upper_bound(target.private_areas, run.address, {}, &Range::first);
  if (next == target.private_areas.begin() || std::prev(next)->second < run.address + run.length) return bad();
  return {};
}

// Areas without PROT_WRITE: /proc/PID/mem writes them all the same (FOLL_FORCE).
Result<void> Restorer::write_private(const Target& target, std::span<const iovec> remote,
                                     std::span<const std::byte> data) {
  iovec local{const_cast<std::byte*>(data.data()), data.size()};
  const ssize_t done = ::process_vm_writev(target.host_pid, &local, 1, remote.data(), remote.size(), 0);
  if (done == static_cast<ssize_t>(data.size())) return {};
  for (const iovec& run : remote) {
    TRY_DO(io::pwrite_full(target.mem.get(), data.first(run.iov_len), reinterpret_cast<uint64_t>(run.iov_base)));
    data = data.subspan(run.iov_len);
  }
  return {};
}

Result<void> Restorer::write(std::span<const PageRun> runs, std::span<const std::byte> data) {
  const std::shared_lock lock(targets_mutex_);
  std::array<iovec, 1024> remote;
  for (size_t i = 0; i < runs.size();) {
    const auto it = targets_.find(runs[i].space);
    if (it == targets_.end())
      return fail(Code::kCorrupt, "pages for space " + std::to_string(runs[i].space) + ", which doesn't exist");
    const Target& target = it->second;
    if (target.late) {
      TRY_DO(check_runs(target, runs[i]));
      if (runs[i].length > data.size()) return fail(Code::kCorrupt, "fewer bytes than pages");
      TRY_DO(late_->write(runs[i], data.data()));
      data = data.subspan(runs[i++].length);
      continue;
    }
    if (target.fill.valid()) {
      TRY_DO(check_runs(target, runs[i]));
      if (runs[i].length > data.size()) return fail(Code::kCorrupt, "fewer bytes than pages");
      TRY_DO(fill(target, runs[i], data.first(runs[i].length)));
      data = data.subspan(runs[i++].length);
      continue;
    }
    size_t n = 0;
    size_t bytes = 0;
    for (; i + n < runs.size() && n < remote.size() && runs[i + n].space == runs[i].space; n++) {
      const auto& run = runs[i + n];
      TRY_DO(check_runs(target, run));
      if (run.length > data.size() - bytes) return fail(Code::kCorrupt, "fewer bytes than pages");
      if (target.object != nullptr)
        std::memcpy(target.object->memory + run.address, data.data() + bytes, run.length);
      else
        remote[n] = {reinterpret_cast<void*>(run.address), run.length};
      bytes += run.length;
    }
    if (target.object == nullptr) TRY_DO(write_private(target, std::span(remote).first(n), data.first(bytes)));
    data = data.subspan(bytes);
    i += n;
  }
  return {};
}

Result<void> Restorer::zero(std::span<const PageRun> runs) {
  static const std::array<std::byte, 1u << 16> kZeros{};
  for (const auto& run : runs) {
    {
      const std::shared_lock lock(targets_mutex_);
      const auto it = targets_.find(run.space);
      if (it != targets_.end() && it->second.late) {
        TRY_DO(check_runs(it->second, run));
        TRY_DO(late_->write(run, nullptr));
        continue;
      }
    }
    for (uint64_t at = 0; at < run.length; at += kZeros.size()) {
      const uint64_t n = std::min<uint64_t>(kZeros.size(), run.length - at);
      const PageRun piece{run.space, run.address + at, n};
      TRY_DO(write(std::span(&piece, 1), std::span(kZeros).subspan(0, n)));
    }
  }
  return {};
}

}  // namespace godwit::pod
