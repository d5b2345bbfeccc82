// The fast way for pages into memory that was just mapped.
//
// Problem. process_vm_writev(2) on a page that isn't there takes a page fault in the other process's name: the kernel clears a page,
// maps it, looks it up and copies over the zeros. Of the restore of 1 GiB that is more than half (docs/design/pod.md).
//
// Idea. UFFDIO_COPY fills a page before anybody sees it: nothing is cleared, no fault is taken. So areas that an outline has just
// mapped, and that are large enough to be worth it, are registered with a userfaultfd of the blank process until the next outline,
// or the restore, comes: a *fill*. A page that is there already (it was sent twice) is answered with EEXIST and written as
// usual. The userfaultfd is of the user-mode-only kind, which everybody may have; nothing waits for it: while a fill is open only
// this module touches that memory, and a system call that met a missing page there would get EFAULT instead of waiting.
//
// Not for areas that get huge pages: UFFDIO_COPY fills 4 KiB pages only, which is slower than one huge page and would stay so.
//
// Sources: ioctl_userfaultfd(2); mm/userfaultfd.c of Linux 6.18: a copy that ends early says EAGAIN and how far it got.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/restore/area_flags.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

using Range = std::pair<uint64_t, uint64_t>;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kWorthFilling = 1u << 20;

// "always [madvise] never": of areas without advice.
bool huge_pages_come_unasked() {
  static const bool always = [] {
    const auto text = io::read_file("/sys/kernel/mm/transparent_hugepage/enabled");
    return text && text->find("[always]") != std::string::npos;
  }();
  return always;
}

bool is_worth_filling(const pb::Area& area) {
  return area.backing() == pb::Area::ANON && !area.shared() && area.end() - area.start() >= kWorthFilling &&
         !has_flag(area, "hg") && !has_flag(area, "lo");
}

}  // namespace

Result<Fd> Restorer::make_fill(Blank& blank) {
  TRY(const auto theirs,
      blank.remote->call(blank.leader(), SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | abi::kUffdUserModeOnly));
  TRY(const Fd pidfd, sys::pidfd_open(blank.host_pid));
  auto ours = sys::pidfd_getfd(pidfd, static_cast<int>(theirs));
  TRY_DO(blank.remote->call(blank.leader(), SYS_close, theirs));
  if (!ours) return std::unexpected(ours.error());
  uffdio_api api{UFFD_API, 0, 0};
  if (::ioctl(ours->get(), UFFDIO_API, &api) < 0) return fail_errno(errno, "UFFDIO_API");
  return std::move(*ours);
}

void Restorer::open_fill(Blank& blank, std::span<const pb::Area> mapped) {
  if (huge_pages_come_unasked()) return;
  Fd uffd;
  std::vector<Range> areas;
  for (const auto& area : mapped) {
    if (!is_worth_filling(area)) continue;
    if (!uffd.valid()) {
      auto made = make_fill(blank);
      if (!made) {
        log::debug("memory isn't filled by userfaultfd pid={} error={}", blank.pid, made.error().message());
        return;
      }
      uffd = std::move(*made);
    }
    uffdio_register registration{{area.start(), area.end() - area.start()}, UFFDIO_REGISTER_MODE_MISSING, 0};
    if (::ioctl(uffd.get(), UFFDIO_REGISTER, &registration) == 0) areas.emplace_back(area.start(), area.end());
  }
  if (areas.empty()) return;
  std::ranges::sort(areas);
  const std::unique_lock lock(targets_mutex_);
  Target& target = targets_[blank.space];
  target.fill = std::move(uffd);
  target.filled_areas = std::move(areas);
}

void Restorer::close_fills() {
  const std::unique_lock lock(targets_mutex_);
  for (auto& [space, target] : targets_) {
    target.fill = Fd();
    target.filled_areas.clear();
  }
}

// A page that is there is written; /proc/PID/mem does that whatever its protection.
Result<void> Restorer::fill_part(const Target& target, uint64_t address, std::span<const std::byte> data) {
  while (!data.empty()) {
    uffdio_copy copy{address, reinterpret_cast<uint64_t>(data.data()), data.size(), UFFDIO_COPY_MODE_DONTWAKE, 0};
    if (::ioctl(target.fill.get(), UFFDIO_COPY, &copy) == 0) return {};
    const int e = errno;
    uint64_t done = copy.copy > 0 ? static_cast<uint64_t>(copy.copy) : 0;
    if (done == 0 && e == EEXIST) {
      TRY_DO(io::pwrite_full(target.mem.get(), data.first(kPage), address));
      done = kPage;
    } else if (done == 0 && e != EAGAIN && e != EINTR) {
      return fail_errno(e, "filling memory of the unit");
    }
    address += done;
    data = data.subspan(done);
  }
  return {};
}

// A run may go from areas that are filled to others and back; no call may cross an area's end.
Result<void> Restorer::fill(const Target& target, const PageRun& run, std::span<const std::byte> data) {
  auto area = std::ranges::upper_bound(target.filled_areas, run.address, {}, &Range::second);
  for (uint64_t at = run.address; !data.empty();) {
    const bool inside = area != target.filled_areas.end() && area->first <= at;
    const uint64_t limit = inside ? area->second : area != target.filled_areas.end() ? area->first : UINT64_MAX;
    const auto part = data.first(std::min<uint64_t>(data.size(), limit - at));
    if (inside) {
      TRY_DO(fill_part(target, at, part));
      ++area;
    } else {
      const iovec remote{reinterpret_cast<void*>(at), part.size()};
      TRY_DO(write_private(target, std::span(&remote, 1), part));
    }
    at += part.size();
    data = data.subspan(part.size());
  }
  return {};
}

}  // namespace godwit::pod
