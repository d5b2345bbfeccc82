// inotify(7). The kernel tells of a watch only the inode's file handle; open_by_handle_at(2) makes a descriptor of it, and
// that has a path. Watches are set again last of all (activate), so that they don't see the restore's own opening of
// files; their files are looked up before the commit.
//
// Unread events are refused: the kernel takes no events back. Not restored: which number the next watch gets, beyond
// being larger than all that exist.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"
#include "pod/kinds/file_handle.h"

namespace godwit::pod {
namespace {

using namespace kinds;

constexpr unsigned long kSetNextWd = _IOW('I', 0, int32_t);  // INOTIFY_IOC_SETNEXTWD
constexpr uint32_t kSettable = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;

bool matches(const OpenFileView& view) {
  return view.link == "anon_inode:inotify" || view.link == "anon_inode:[inotify]";
}

Result<uint64_t> word_value(const std::vector<std::string_view>& words, std::string_view key, int base) {
  const auto word = std::ranges::find_if(words, [&](std::string_view w) { return w.starts_with(key); });
  if (word == words.end()) return fail(Code::kFailed, "an inotify line without " + std::string(key));
  return parse_number(word->substr(key.size()), base);
}

// "inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d"
Result<void> dump_watch(DumpContext& ctx, const OpenFileView& view, std::string_view line, pb::InotifySet& state) {
  const auto words = split(line, ' ');
  TRY(const uint64_t wd, word_value(words, "wd:", 16));
  TRY(const uint64_t mask, word_value(words, "mask:", 16));
  TRY(const uint64_t inode, word_value(words, "ino:", 16));
  TRY(const uint64_t device, word_value(words, "sdev:", 16));
  // The kernel's own form of a device number: 12 bits major, 20 bits minor.
  const dev_t dev = makedev(static_cast<unsigned>(device >> 20), static_cast<unsigned>(device & 0xfffff));

  auto* watch = state.add_watches();
  watch->set_wd(static_cast<int32_t>(wd));
  watch->set_mask(static_cast<uint32_t>(mask) & kSettable);
  const auto open_ones = ctx.files_with_inode(dev, inode);
  const auto place = find_by_handle(ctx, view.host_pid, line, dev, inode);
  if (place && !marked_deleted(place->path)) {
    watch->set_path(place->path);
    watch->set_file_type(place->mode & S_IFMT);
    const bool directory = S_ISDIR(place->mode);
    if (directory || S_ISREG(place->mode)) {
      ctx.demand_file(place->path, directory ? wire::FileDemand::DIRECTORY : wire::FileDemand::OPEN_READ, 0,
                      view.object);
    }
  } else if (!open_ones.empty()) {
    watch->set_file(*std::ranges::min_element(open_ones));
  } else if (ctx.inspecting() && !sys::read_link_at(ctx.proc_dir(), std::to_string(view.host_pid) + "/root")) {
    return fail(Code::kGone,
                view.object + " is gone: its process has ended");  // and its files had no place to be sought in
  } else {
    ctx.refuse("inotify-path", view.object, "watch " + std::to_string(wd));
  }
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  int unread = 0;
  if (::ioctl(view.ours.get(), FIONREAD, &unread) != 0) return fail_errno(errno, view.object + ": FIONREAD");
  if (unread > 0) ctx.refuse("inotify-events", view.object, std::to_string(unread) + " bytes");
  pb::InotifySet state;
  for (const std::string_view line : split(view.fdinfo, '\n')) {
    if (line.starts_with("inotify ")) TRY_IN(view.object, dump_watch(ctx, view, line, state));
  }
  out.set_state(state.SerializeAsString());
  return {};
}

std::string shelf_name(const pb::OpenFile& file, const pb::InotifySet::Watch& watch) {
  return "inotify:" + std::to_string(file.id()) + ":" + std::to_string(watch.wd());
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::InotifySet>(file));
  std::set<int32_t> numbers;
  for (const auto& watch : state.watches()) {
    if (watch.wd() <= 0 || !numbers.insert(watch.wd()).second) {
      return fail(Code::kCorrupt, "an inotify watch with number " + std::to_string(watch.wd()));
    }
    if (watch.file() != 0) continue;
    TRY(Fd watched, sys::open(watch.path(), O_PATH | O_NOFOLLOW));
    TRY(const auto st, sys::stat(watched));
    if ((st.st_mode & S_IFMT) != watch.file_type()) {
      return fail(Code::kFailed, watch.path() + ", which is watched, is another type of file here");
    }
    ctx.shelf().insert_or_assign(shelf_name(file, watch), std::move(watched));
  }
  const int fd = ::inotify_init1(IN_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "inotify_init1");
  return Fd(fd);
}

// inotify_add_watch() takes only paths, and the path "/proc" may show another PID namespace; a child with a working
// directory of its own stands in our /proc. It shares our memory, so it only makes system calls.
struct Addition {
  int set, proc_dir;
  char path[32];
  uint32_t mask;
  int wd = -1, error = 0;
};
[[noreturn, gnu::noinline]] void add_in_child(Addition& a) {
  if (::fchdir(a.proc_dir) == 0) a.wd = ::inotify_add_watch(a.set, a.path, a.mask);
  a.error = errno;
  ::_exit(0);
}
Result<int32_t> add_watch(const Fd& proc_dir, const Fd& set, const Fd& watched, uint32_t mask) {
  Addition addition{.set = set.get(), .proc_dir = proc_dir.get(), .path = {}, .mask = mask & kSettable};
  *fmt::format_to_n(addition.path, sizeof addition.path - 1, "self/fd/{}", watched.get()).out = '\0';
  const pid_t child = ::vfork();
  if (child == 0) add_in_child(addition);
  if (child < 0) return fail_errno(errno, "vfork");
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (addition.wd < 0) return fail_errno(addition.error, "inotify_add_watch");
  return addition.wd;
}

Result<void> activate(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) {
  TRY(auto state, parse_state<pb::InotifySet>(file));
  std::ranges::sort(*state.mutable_watches(), {},
                    &pb::InotifySet::Watch::wd);  // the next new one comes after the largest
  for (const auto& watch : state.watches()) {
    const Fd* watched = nullptr;
    Fd kept;
    if (watch.file() != 0) {
      TRY(watched, ctx.file(watch.file()));
    } else {
      kept = std::move(ctx.shelf()[shelf_name(file, watch)]);
      watched = &kept;
    }
    if (::ioctl(fd.get(), kSetNextWd, watch.wd()) != 0) return fail_errno(errno, "INOTIFY_IOC_SETNEXTWD");
    TRY(const int32_t wd, add_watch(ctx.proc_dir(), fd, *watched, watch.mask()));
    if (wd != watch.wd()) {
      return fail(Code::kFailed, "watch " + std::to_string(watch.wd()) + " got the number " + std::to_string(wd));
    }
  }
  return {};
}

}  // namespace

const FileKind kInotifyKind = {.name = "inotify",
                               .matches = matches,
                               .dump = dump,
                               .restore = restore,
                               .activate = activate,
                               .schema = "godwit.pod.v1.InotifySet"};

}  // namespace godwit::pod
