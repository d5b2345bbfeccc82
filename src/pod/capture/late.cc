// What can't wait, and why:
//   private mappings of files     their pages fault in from the file, and a fault there asks nobody
//   locked areas                  mlock2(2) at the restore would wait for every page, one after the other
//   wiped on fork (WIPEONFORK)    a child must find zeros there, and the kernel doesn't tell that it does
//   protected areas that were written before   keep their account of memory only by being written before they are protected
//                                 (keeps_account() in restore/areas.cc)
//   the pages that the kernel writes to at a thread's end (thread ID, robust futexes) and at its start (rseq): at the end
//                                 it doesn't wait for a userfaultfd, so the thread's joiner would never hear of it
//   stack top and thread block    for speed: each thread needs them with its first instructions
#include "pod/capture/late.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/user.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr int kMaxRobust = 2048;  // ROBUST_LIST_LIMIT of the kernel
constexpr size_t kRobustHead = 24;

bool can_follow(const SpaceSource& source, size_t i) {
  const MapEntry& area = source.areas[i];
  if (source.whole_file[i] || area.inode != 0 || area.shared) return false;
  if (area.vm_flags.empty()) return false;
  const std::string flags = " " + area.vm_flags + " ";
  const auto has = [&](std::string_view flag) { return flags.find(flag) != std::string::npos; };
  return !has(" lo ") && !has(" wf ") && ((area.prot & PROT_WRITE) != 0 || !has(" ac "));
}

void add(std::set<uint64_t>& pages, uint64_t address, uint64_t length = 1) {
  if (address == 0) return;
  for (uint64_t page = address & ~(kPage - 1); page < address + length; page += kPage) pages.insert(page);
}

// struct robust_list_head: next, futex_offset, list_op_pending (set_robust_list(2)); a bit 0 marks PI futexes.
void add_robust_list(const ProcFs& proc, pid_t pid, uint64_t head, std::set<uint64_t>& pages) {
  if (head == 0) return;
  add(pages, head, kRobustHead);
  uint64_t words[3];
  if (!read_memory(proc, pid, head, std::as_writable_bytes(std::span(words)))) return;
  const auto add_entry = [&](uint64_t entry) {
    add(pages, entry, sizeof entry);
    add(pages, entry + words[1], sizeof(uint32_t));
  };
  if (words[2] != 0) add_entry(words[2] & ~1ull);
  uint64_t entry = words[0] & ~1ull;
  for (int i = 0; i < kMaxRobust && entry != head && entry != 0; i++) {
    add_entry(entry);
    uint64_t next = 0;
    if (!read_memory(proc, pid, entry, std::as_writable_bytes(std::span(&next, 1)))) return;
    entry = next & ~1ull;
  }
}

std::set<uint64_t> pages_needed_at_once(const ProcFs& proc, pid_t host_pid, const pb::Process& process) {
  std::set<uint64_t> pages;
  for (const auto& thread : process.threads()) {
    user_regs_struct regs{};
    if (thread.regs().size() == sizeof regs) {
      std::memcpy(&regs, thread.regs().data(), sizeof regs);
      add(pages, regs.rsp - 128, 2 * kPage);  // below it: the red zone
      add(pages, regs.fs_base, kPage);
    }
    add(pages, thread.tid_address(), sizeof(uint32_t));
    if (thread.has_rseq()) add(pages, thread.rseq().address(), std::max<uint64_t>(thread.rseq().size(), 32));
    add_robust_list(proc, host_pid, thread.robust_list(), pages);
  }
  return pages;
}

}  // namespace

Result<LateSplit> split_late(const ProcFs& proc, const SpaceSource& source, const pb::Process& process) {
  TRY(const Fd pagemap, proc.open(source.host_pid, "pagemap", O_RDONLY));
  const auto at_once = pages_needed_at_once(proc, source.host_pid, process);
  LateSplit split;
  for (size_t i = 0; i < source.areas.size(); i++) {
    const MapEntry& area = source.areas[i];
    if (source.whole_file[i]) {
      split.now.push_back({source.id, area.start, area.end - area.start});
      continue;
    }
    if (!can_follow(source, i)) {
      TRY_DO(scan_area(pagemap, source.id, area, false, split.now));
      continue;
    }
    std::vector<PageRun> runs;
    TRY_DO(scan_area(pagemap, source.id, area, false, runs));
    for (const auto& run : runs) {
      uint64_t at = run.address;
      const uint64_t end = run.address + run.length;
      for (auto page = at_once.lower_bound(at); page != at_once.end() && *page < end; ++page) {
        if (at < *page) split.later.push_back({source.id, at, *page - at});
        split.now.push_back({source.id, *page, kPage});
        at = *page + kPage;
      }
      if (at < end) split.later.push_back({source.id, at, end - at});
    }
  }
  return split;
}

}  // namespace godwit::pod
