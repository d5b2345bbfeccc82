// Open files: made in this process, handed to the blanks, moved to their numbers. See restorer.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/sys.h"
#include "pod/restore/restorer.h"
#include "pod/validate.h"

namespace godwit::pod {
namespace {

// What fcntl(F_SETFL) can change after the open (fcntl(2)); the rest was given at the open.
constexpr int kSettable = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;

std::string describe(const pb::OpenFile& file) { return file.kind() + " (file " + std::to_string(file.id()) + ")"; }

}  // namespace

Result<void> Restorer::restore_file(const pb::OpenFile& file) {
  const FileKind* kind = find_file_kind(file.kind());
  if (kind == nullptr) return fail(Code::kRefused, "this Godwit doesn't know the kind of " + describe(file));
  TRY(Fd fd, kind->restore(*this, file));
  if (!kind->sets_own_flags) {
    const int now = ::fcntl(fd.get(), F_GETFL);
    const int wanted = (now & ~kSettable) | (static_cast<int>(file.flags()) & kSettable);
    if (now >= 0 && now != wanted && (now & O_PATH) == 0 && ::fcntl(fd.get(), F_SETFL, wanted) < 0)
      return fail_errno(errno, "F_SETFL");
    if (file.position() > 0 && ::lseek(fd.get(), file.position(), SEEK_SET) < 0 && errno != ESPIPE) {
      return fail_errno(errno, "lseek to " + std::to_string(file.position()));
    }
  }
  files_.insert_or_assign(file.id(), std::move(fd));
  return {};
}

Result<void> Restorer::restore_files() {
  for (const bool late : {false, true}) {
    for (const auto& file : state_.files()) {
      if (file.late() != late) continue;
      TRY_IN("restoring " + describe(file), restore_file(file));
    }
  }
  return {};
}

// Sends descriptors to a blank process, where they get the lowest free numbers in this order.
Result<void> Restorer::deliver(Blank& blank, std::span<const int> fds) {
  Plan plan(*blank.remote, blank.leader());
  TRY_DO(deliver(plan, fds));
  return plan.run();
}

Result<void> Restorer::deliver(Plan& plan, std::span<const int> fds) {
  constexpr size_t kPerMessage = 253;  // SCM_MAX_FD
  for (size_t i = 0; i < fds.size(); i += kPerMessage) {
    if (i > 0) TRY_DO(plan.run());  // the socket holds few messages (unix(7), max_dgram_qlen)
    const auto some = fds.subspan(i, std::min(kPerMessage, fds.size() - i));
    TRY_DO(io::send_with_fds(channel_ours_.get(), "f", some));
    struct Message {
      msghdr header;
      iovec part;
      char byte[8];
      char control[CMSG_SPACE(kPerMessage * sizeof(int))];
    };
    Message m{};
    const uint64_t base = plan.place();
    m.header.msg_iov = reinterpret_cast<iovec*>(base + offsetof(Message, part));
    m.header.msg_iovlen = 1;
    m.header.msg_control = reinterpret_cast<void*>(base + offsetof(Message, control));
    m.header.msg_controllen = sizeof m.control;
    m.part = {reinterpret_cast<void*>(base + offsetof(Message, byte)), 1};
    plan.put(m);
    plan.must("taking descriptors", SYS_recvmsg, channel_number_, base, 0);
  }
  return {};
}

// Where the unit has opened descriptors since the channel got its number that reach as far.
Result<void> Restorer::raise_channel() {
  if (static_cast<int>(descriptors_below(state_)) <= channel_number_ || channel_number_ == highest_channel_) return {};
  for (const auto& process : state_.processes()) {
    Blank* blank = find(process.pid());
    if (blank == nullptr || blank->is_init || blank->zombie || process.shares_files_with() != 0) continue;
    Plan plan(*blank->remote, blank->leader());
    plan.must("raising the channel", SYS_dup3, channel_number_, highest_channel_, 0);
    plan.must("closing the lower one", SYS_close, channel_number_);
    TRY_DO(plan.run());
  }
  channel_number_ = highest_channel_;
  return {};
}

// They arrive as 0, 1, 2 … in the order of their final numbers, so each final number is at least the arrival number, and
// moving from the highest down never lands on one that has yet to move.
Result<void> Restorer::install_descriptors(Blank& blank, const pb::Process& process) {
  std::vector<const pb::Descriptor*> sorted;
  for (const auto& d : process.descriptors()) sorted.push_back(&d);
  std::ranges::sort(sorted, {}, &pb::Descriptor::fd);
  std::vector<int> fds;
  for (const auto* d : sorted) {
    if (d->fd() < 0 || d->fd() >= channel_number_)
      return fail(Code::kRefused, "descriptor number " + std::to_string(d->fd()) + " is above the limit here");
    if (fds.size() > 0 && sorted[fds.size() - 1]->fd() == d->fd())
      return fail(Code::kCorrupt, "descriptor " + std::to_string(d->fd()) + " twice");
    TRY(const Fd* ours, file(d->file()));
    fds.push_back(ours->get());
  }
  Plan plan(*blank.remote, blank.leader());
  TRY_DO(deliver(plan, fds));
  for (size_t i = sorted.size(); i-- > 0;) {
    const int from = static_cast<int>(i);
    const int to = sorted[i]->fd();
    if (from == to) {
      plan.must("FD_CLOEXEC", SYS_fcntl, to, F_SETFD, sorted[i]->close_on_exec() ? FD_CLOEXEC : 0);
    } else {
      plan.must("dup3", SYS_dup3, from, to, sorted[i]->close_on_exec() ? O_CLOEXEC : 0);
      plan.must("close", SYS_close, from);
    }
  }
  // Nothing is handed over any more; the program must not find it.
  plan.must("closing the channel", SYS_close, channel_number_);
  return plan.run();
}

Result<void> Restorer::connect_files() {
  for (const auto& file : state_.files()) {
    const FileKind* kind = find_file_kind(file.kind());
    if (kind != nullptr && kind->connect != nullptr) {
      TRY_IN("connecting " + describe(file), kind->connect(*this, file, files_.at(file.id())));
    }
  }
  for (const auto& section : state_.sections()) {
    for (const auto* kind : section_kinds()) {
      if (kind->name == section.kind() && kind->connect != nullptr)
        TRY_IN(section.kind(), kind->connect(*this, section.state()));
    }
  }
  return {};
}

// F_SETOWN and F_SETSIG, after the processes that they name exist.
Result<void> Restorer::set_owners() {
  for (const auto& file : state_.files()) {
    if (!file.has_owner()) continue;
    const Fd& fd = files_.at(file.id());
    if (file.owner().pid() != 0) {
      f_owner_ex owner{static_cast<decltype(owner.type)>(file.owner().type()), 0};
      auto host = host_pid(file.owner().pid());
      if (!host) continue;  // it names a process that has ended
      owner.pid = *host;
      if (::fcntl(fd.get(), F_SETOWN_EX, &owner) < 0) return fail_errno(errno, "F_SETOWN_EX of " + describe(file));
    }
    if (file.owner().signal() != 0 && ::fcntl(fd.get(), F_SETSIG, file.owner().signal()) < 0) {
      return fail_errno(errno, "F_SETSIG of " + describe(file));
    }
  }
  return {};
}

}  // namespace godwit::pod
