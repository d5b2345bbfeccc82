// Descriptors and open file descriptions.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/sys.h"
#include "pod/capture/capture.h"

namespace godwit::pod {

Result<void> Capture::capture_descriptors() {
  for (auto& process : processes_) {
    if (process.zombie || process.host_pid == options_.init_host_pid) continue;
    pb::Process* out = captured(process.pid);
    if (out == nullptr) continue;
    auto done = capture_descriptors_of(process, *out);
    if (!done && !has_vanished(done.error())) return std::unexpected(done.error().in(process.name()));
  }
  return dump_files();
}

Result<void> Capture::capture_descriptors_of(FrozenProcess& process, pb::Process& out) {
  TRY(const auto& numbers, look(process).descriptors);
  Fd pidfd;  // a forked process often has nothing but what its parent has
  const auto note = [&](int fd, FileId id) {
    files_.set_at(process.host_pid, fd, id);
    auto* descriptor = out.add_descriptors();
    descriptor->set_fd(fd);
    descriptor->set_file(id);
  };
  for (const int fd : numbers) {
    if (const auto known = inspecting() ? std::nullopt : files_.inherited(process.host_parent, process.host_pid, fd)) {
      note(fd, *known);
      continue;
    }
    if (!pidfd.valid()) {
      TRY(pidfd, sys::pidfd_open(process.host_pid));
    }
    auto ours = sys::pidfd_getfd(pidfd, fd);
    if (!ours && inspecting() && ours.error().errnum == EBADF) continue;
    if (!ours) return std::unexpected(ours.error());
    const std::string object = "fd " + std::to_string(fd) + " of " + process.name();
    TRY(const FileId id,
        note_file(std::move(*ours), process.host_pid, process.pid, fd, object, std::to_string(process.host_pid)));
    note(fd, id);
    // FD_CLOEXEC is the process's own to tell (capture_process_remotely); fdinfo is of the description, so once is enough.
    FileEntry& entry = *files_.entries()[id - 1];
    if (entry.fdinfo.empty()) {
      auto info = proc_.read(process.host_pid, "fdinfo/" + std::to_string(fd));
      if (!info && has_vanished(info.error())) info = own_fdinfo(entry.ours);
      TRY(entry.fdinfo, info);
    }
  }
  return {};
}

Result<FileId> Capture::note_file(Fd ours, pid_t host_pid, pid_t pid, int fd, const std::string& object,
                                  const std::string& fd_dir) {
  TRY(const auto st, sys::stat(ours));
  TRY(const auto added, files_.add(std::move(ours), st));
  if (!added.is_new) return added.entry->id;
  FileEntry& entry = *added.entry;
  entry.host_pid = host_pid;
  entry.pid = pid;
  entry.fd = fd;
  entry.object = object;
  auto link = sys::read_link_at(proc_.dir(), fd_dir + "/fd/" + std::to_string(fd));
  if (!link && has_vanished(link.error())) link = own_link(entry.ours);
  TRY(entry.link, link);
  const int flags = ::fcntl(entry.ours.get(), F_GETFL);
  if (flags < 0) return fail_errno(errno, "F_GETFL of " + object);
  entry.flags = static_cast<unsigned>(flags);
  struct statfs fs{};
  if (::fstatfs(entry.ours.get(), &fs) == 0) entry.filesystem = static_cast<uint64_t>(fs.f_type);
  return entry.id;
}

// Seen through a descriptor of our own: link and fdinfo are the same in every process.
Result<std::string> Capture::own_link(const Fd& ours) const {
  const std::string name = "fd/" + std::to_string(ours.get());
  auto link = sys::read_link("/proc/self/" + name);
  return link ? link : proc_.link(::getpid(), name);
}
Result<std::string> Capture::own_fdinfo(const Fd& ours) const {
  const std::string name = "fdinfo/" + std::to_string(ours.get());
  auto info = io::read_file("/proc/self/" + name);
  return info ? info : proc_.read(::getpid(), name);
}

Result<FileId> Capture::file_of(const Fd& fd, const std::string& object) {
  TRY(Fd copy, sys::dup(fd.get()));
  TRY(auto info, own_fdinfo(copy));
  TRY(const auto st, sys::stat(copy));
  TRY(const auto added, files_.add(std::move(copy), st));
  FileEntry& entry = *added.entry;
  if (!added.is_new) return entry.id;
  entry.fdinfo = std::move(info);
  entry.object = object;
  entry.fd = -1;
  TRY(entry.link, own_link(entry.ours));
  entry.flags = static_cast<unsigned>(::fcntl(entry.ours.get(), F_GETFL));
  struct statfs fs{};
  if (::fstatfs(entry.ours.get(), &fs) == 0) entry.filesystem = static_cast<uint64_t>(fs.f_type);
  return entry.id;
}

// Kinds may find further files while they are dumped (file_of), so the list grows under the loop.
Result<void> Capture::dump_files() {
  for (; files_dumped_ < files_.entries().size(); files_dumped_++) {
    const FileEntry& entry = *files_.entries()[files_dumped_];
    const auto view = entry.view();
    auto* out = state_.add_files();
    out->set_id(entry.id);
    out->set_flags(entry.flags);
    out->set_position(::lseek(entry.ours.get(), 0, SEEK_CUR));
    const auto kinds = file_kinds();
    const auto kind = std::ranges::find_if(kinds, [&](const FileKind* k) { return k->matches(view); });
    if (kind == kinds.end()) {
      refuse("file-kind", entry.object, entry.link);
      continue;
    }
    out->set_kind(std::string((*kind)->name));
    f_owner_ex owner{};
    if (::fcntl(entry.ours.get(), F_GETOWN_EX, &owner) == 0 && owner.pid != 0) {
      if (auto pid = pid_in_tree(owner.pid)) {
        out->mutable_owner()->set_type(owner.type);
        out->mutable_owner()->set_pid(*pid);
      }
    }
    if (const int signal = ::fcntl(entry.ours.get(), F_GETSIG); signal > 0) out->mutable_owner()->set_signal(signal);
    auto dumped = (*kind)->dump(*this, view, *out);
    if (!dumped && !has_vanished(dumped.error()))
      return std::unexpected(dumped.error().in(entry.object + " (" + entry.link + ")"));
  }
  return {};
}

}  // namespace godwit::pod
