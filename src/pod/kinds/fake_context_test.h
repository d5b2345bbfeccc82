// A unit without processes: descriptors of this test play the tree's, so that a kind can be tested without ptrace.
//
//     FakeTree tree;
//     const FileId id = tree.add(fd);            // or tree.add(fd, 7) to say which number it has in the tree
//     auto files = tree.dump();                  // Result<std::vector<pb::OpenFile>>; tree.blockers has the refusals
//     FakeRestore restored(tree);
//     ASSERT_OK(restored.run(*files));           // restore, connect, activate, in id order; flags and offset as the engine does
//     restored.fd(id)                            // the new descriptor
//
// Remote calls run in this very process: pointers are this process's own.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "pod/kinds.h"
#include "pod/refusals.h"

#define ASSERT_OK(expression)                                          \
  do {                                                                 \
    auto&& assert_ok = (expression);                                   \
    ASSERT_TRUE(assert_ok.has_value()) << assert_ok.error().message(); \
  } while (false)

namespace godwit::pod::test {

/// A directory that is removed again.
class ScratchDir {
 public:
  ScratchDir() {
    char name[] = "/tmp/godwit-kinds-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~ScratchDir() { (void)sys::remove_tree(path_); }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline const Fd& own_proc() {
  static const Fd kDir(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return kDir;
}

/// System calls "in the tree": made here.
class LocalCalls {
 public:
  Result<int64_t> call(long number, std::span<const uint64_t> a) {
    uint64_t v[6] = {};
    std::ranges::copy(a.first(std::min<size_t>(a.size(), 6)), v);
    const long r = ::syscall(number, v[0], v[1], v[2], v[3], v[4], v[5]);
    if (r < 0) return fail_errno(errno, "remote call " + std::to_string(number));
    return r;
  }
  uint64_t scratch() { return reinterpret_cast<uint64_t>(memory_.data()); }

 private:
  std::vector<std::byte> memory_ = std::vector<std::byte>(32 << 10);
};

class FakeTree : public DumpContext {
 public:
  /// `number`: which descriptor it is in the tree; -1: the same as here.
  FileId add(int fd, int number = -1, pid_t pid = ::getpid()) {
    if (number < 0) number = fd;
    for (auto& e : entries_) {
      if (::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILE, e->ours.get(), fd) == 0) {
        held_.push_back({pid, pid, number, e->id, e->st.st_mode, e->flags, &e->ours, &e->fdinfo});
        return e->id;
      }
    }
    auto e = std::make_unique<Entry>();
    e->id = static_cast<FileId>(entries_.size() + 1);
    e->ours = Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 500));
    ::fstat(fd, &e->st);
    e->link = *sys::read_link("/proc/self/fd/" + std::to_string(fd));
    e->fdinfo = *io::read_file("/proc/self/fdinfo/" + std::to_string(fd));
    struct statfs fs{};
    ::fstatfs(fd, &fs);
    e->filesystem = static_cast<uint64_t>(fs.f_type);
    e->flags = static_cast<unsigned>(::fcntl(fd, F_GETFL));
    e->fd = number;
    e->object = "fd " + std::to_string(number) + " of pid " + std::to_string(pid);
    e->pid = pid;
    held_.push_back({pid, pid, number, e->id, e->st.st_mode, e->flags, &e->ours, &e->fdinfo});
    entries_.push_back(std::move(e));
    return entries_.back()->id;
  }

  Result<std::vector<pb::OpenFile>> dump() {
    std::vector<pb::OpenFile> out;
    for (size_t i = 0; i < entries_.size(); ++i) {  // file_of() may add entries
      Entry& e = *entries_[i];
      const OpenFileView view{e.ours, e.st, e.link, e.fdinfo, e.pid, e.pid, e.fd, e.filesystem, e.flags, e.object};
      const auto kinds = file_kinds();
      const auto kind = std::ranges::find_if(kinds, [&](const FileKind* k) { return k->matches(view); });
      if (kind == kinds.end()) {
        refuse("file-kind", e.object, e.link);
        continue;
      }
      pb::OpenFile file;
      file.set_id(e.id);
      file.set_kind(std::string((*kind)->name));
      file.set_flags(e.flags);
      const off_t position = ::lseek(e.ours.get(), 0, SEEK_CUR);
      file.set_position(position < 0 ? 0 : position);
      TRY_IN(e.object, (*kind)->dump(*this, view, file));
      if (::lseek(e.ours.get(), 0, SEEK_CUR) != position)
        return fail(Code::kFailed, e.object + ": the dump moved its offset");
      out.push_back(std::move(file));
    }
    for (const SectionKind* kind : section_kinds()) {
      TRY(sections[kind], kind->dump(*this));
    }
    return out;
  }
  /// The source is gone: what its descriptors held (names, ports, locks) is free again.
  void discard() { entries_.clear(); }
  /// The kind's name that a descriptor gets.
  std::string kind_of(FileId id) {
    Entry& e = *entries_[id - 1];
    const OpenFileView view{e.ours, e.st, e.link, e.fdinfo, e.pid, e.pid, e.fd, e.filesystem, e.flags, e.object};
    for (const FileKind* k : file_kinds()) {
      if (k->matches(view)) return std::string(k->name);
    }
    return {};
  }
  bool refused(std::string_view code) const {
    return std::ranges::any_of(blockers, [&](const engine::Blocker& b) { return b.code == code; });
  }

  bool inspecting() const override { return look_only; }
  void refuse(std::string_view code, const std::string& object, const std::string& detail) override {
    blockers.push_back(make_blocker(code, object, detail));
  }
  Result<FileId> file_at(pid_t host_pid, int fd) override {
    for (const auto& h : held_) {
      if (h.host_pid == host_pid && h.fd == fd) return h.file;
    }
    return fail(Code::kNotFound, "no such descriptor");
  }
  Result<FileId> file_of(const Fd& fd, const std::string&) override {
    const auto held = held_.size();
    const FileId id = add(fd.get());
    held_.resize(held);
    return id;
  }
  std::vector<FileId> files_with_inode(dev_t device, ino_t inode) override {
    std::vector<FileId> ids;
    for (const auto& e : entries_) {
      if (e->st.st_dev == device && e->st.st_ino == inode) ids.push_back(e->id);
    }
    return ids;
  }
  std::vector<HeldDescriptor> descriptors() override {
    for (auto& e : entries_) e->fdinfo = *io::read_file("/proc/self/fdinfo/" + std::to_string(e->ours.get()));
    return held_;
  }
  const Fd& proc_dir() override { return own_proc(); }
  Nanos clock(clockid_t clock) override { return clock_now(clock); }
  bool may_inherit(const OpenFileView& view) override { return allow_inherit && view.fd <= 2; }
  std::vector<pid_t> processes() override {
    std::vector<pid_t> all{::getpid()};
    for (const auto& [pid, alive] : members) {
      if (alive) all.push_back(pid);
    }
    return all;
  }
  bool close_connections() const override { return closing; }
  Result<pid_t> pid_in_tree(pid_t host_pid) override {
    if (host_pid == ::getpid() || members.contains(host_pid)) return host_pid;
    return fail(Code::kNotFound, "not in the tree");
  }
  Result<pid_t> host_pid(pid_t pid) override { return pid_in_tree(pid); }
  Result<int64_t> remote_call(pid_t, long number, std::span<const uint64_t> a) override {
    return calls_.call(number, a);
  }
  Result<uint64_t> remote_scratch(pid_t) override { return calls_.scratch(); }
  Result<void> remote_write(pid_t, uint64_t address, std::span<const std::byte> data) override {
    std::memcpy(reinterpret_cast<void*>(address), data.data(), data.size());
    return {};
  }
  Result<void> remote_read(pid_t, uint64_t address, std::span<std::byte> data) override {
    std::memcpy(data.data(), reinterpret_cast<void*>(address), data.size());
    return {};
  }
  void demand_file(const std::string& path, int use, uint64_t, const std::string&) override { demands[path] = use; }
  Result<uint32_t> add_contents(Fd content, uint64_t size) override {
    TRY(Fd copy, sys::memfd("contents"));
    if (::ftruncate(copy.get(), static_cast<off_t>(size)) != 0) return fail_errno(errno, "ftruncate");
    off_t from = 0;
    while (static_cast<uint64_t>(from) < size) {  // as the transport does: only what holds data
      from = ::lseek(content.get(), from, SEEK_DATA);
      if (from < 0 || static_cast<uint64_t>(from) >= size) break;
      off_t end = ::lseek(content.get(), from, SEEK_HOLE);
      if (end < 0) end = static_cast<off_t>(size);
      std::vector<std::byte> data(static_cast<size_t>(end - from));
      TRY_DO(io::pread_full(content.get(), data, static_cast<uint64_t>(from)));
      TRY_DO(io::pwrite_full(copy.get(), data, static_cast<uint64_t>(from)));
      from = end;
    }
    const auto id = static_cast<uint32_t>(1000 + spaces.size());
    spaces.emplace(id, std::move(copy));
    return id;
  }

  bool look_only = false;
  bool allow_inherit = false;
  bool closing = false;
  std::map<const SectionKind*, std::string> sections;  ///< what each gave; empty: nothing
  std::vector<engine::Blocker> blockers;
  std::map<std::string, int> demands;
  std::map<uint32_t, Fd> spaces;
  std::map<pid_t, bool> members;  ///< processes of the tree besides this one

 private:
  struct Entry {
    FileId id;
    Fd ours;
    struct stat st;
    std::string link, fdinfo, object;
    pid_t pid;
    int fd;
    uint64_t filesystem;
    unsigned flags;
  };
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<HeldDescriptor> held_;
  LocalCalls calls_;
};

class FakeRestore : public RestoreContext {
 public:
  explicit FakeRestore(FakeTree& tree) : tree_(tree) {}

  Result<void> run(const std::vector<pb::OpenFile>& files) {
    TRY_DO(each_section(&SectionKind::restore));
    for (const bool late : {false, true}) {
      for (const auto& f : files) {
        if (f.late() != late) continue;
        const FileKind* kind = find_file_kind(f.kind());
        if (kind == nullptr) return fail(Code::kCorrupt, "unknown kind " + f.kind());
        TRY(Fd fd, kind->restore(*this, f));
        if (!kind->sets_own_flags) {
          constexpr unsigned kSettable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;
          ::fcntl(fd.get(), F_SETFL, f.flags() & kSettable);
          if (f.position() != 0) ::lseek(fd.get(), f.position(), SEEK_SET);
        }
        files_.emplace(f.id(), std::move(fd));
      }
    }
    for (const auto& f : files) {
      const FileKind* kind = find_file_kind(f.kind());
      if (kind->connect != nullptr) TRY_DO(kind->connect(*this, f, files_.at(f.id())));
    }
    TRY_DO(each_section(&SectionKind::connect));
    if (stop_before_activate) return {};
    for (const auto& f : files) {
      const FileKind* kind = find_file_kind(f.kind());
      if (kind->activate != nullptr) TRY_DO(kind->activate(*this, f, files_.at(f.id())));
    }
    return each_section(&SectionKind::activate);
  }
  int fd(FileId id) { return files_.at(id).get(); }
  void close(FileId id) { files_.erase(id); }
  /// Descriptor `number` of the tree is now `fd` here: for kinds that make remote calls with descriptor numbers.
  void map_number(int number, int fd) { numbers_[number] = fd; }

  Result<const Fd*> file(FileId id) override {
    const auto it = files_.find(id);
    if (it == files_.end()) return fail(Code::kCorrupt, "no file " + std::to_string(id));
    return &it->second;
  }
  Result<pid_t> host_pid(pid_t pid) override { return pid; }
  Result<int64_t> remote_call(pid_t, long number, std::span<const uint64_t> a) override {
    std::vector<uint64_t> arguments(a.begin(), a.end());
    if (number == SYS_fcntl && numbers_.contains(static_cast<int>(a[0]))) {
      arguments[0] = static_cast<uint64_t>(numbers_[static_cast<int>(a[0])]);
    }
    return calls_.call(number, arguments);
  }
  Result<uint64_t> remote_scratch(pid_t) override { return calls_.scratch(); }
  Result<void> remote_write(pid_t p, uint64_t a, std::span<const std::byte> d) override {
    return tree_.remote_write(p, a, d);
  }
  Result<void> remote_read(pid_t p, uint64_t a, std::span<std::byte> d) override { return tree_.remote_read(p, a, d); }
  Result<const Fd*> contents(uint32_t space) override {
    const auto it = tree_.spaces.find(space);
    if (it == tree_.spaces.end()) return fail(Code::kCorrupt, "no space " + std::to_string(space));
    return &it->second;
  }
  const std::string& scratch_dir() override { return scratch_.path(); }
  const Fd& proc_dir() override { return own_proc(); }
  Nanos clock(clockid_t clock) override { return clock_now(clock) + clock_shift; }
  Result<Fd> inherit(int fd, const std::string& link) override {
    if (!streams.contains(fd)) return RestoreContext::inherit(fd, link);
    return sys::dup(streams[fd]);
  }
  bool close_connections() const override { return closing; }

  Nanos clock_shift{0};
  std::map<int, int> streams;
  bool closing = false;
  bool stop_before_activate = false;  ///< the commit isn't granted

 private:
  Result<void> each_section(Result<void> (*SectionKind::*stage)(RestoreContext&, const std::string&)) {
    for (const auto& [kind, state] : tree_.sections) {
      if (!state.empty() && kind->*stage != nullptr) TRY_DO((kind->*stage)(*this, state));
    }
    return {};
  }

  FakeTree& tree_;
  std::map<FileId, Fd> files_;
  std::map<int, int> numbers_;
  ScratchDir scratch_;
  LocalCalls calls_;
};

/// Dumps the tree and restores it: the usual middle of a test.
#define DUMP_AND_RESTORE(tree, restored)                                                                \
  const auto dumped_files = (tree).dump();                                                              \
  ASSERT_TRUE(dumped_files.has_value()) << dumped_files.error().message();                              \
  ASSERT_TRUE((tree).blockers.empty()) << (tree).blockers[0].code << ": " << (tree).blockers[0].reason; \
  FakeRestore restored(tree);                                                                           \
  ASSERT_OK((restored).run(*dumped_files))

}  // namespace godwit::pod::test
