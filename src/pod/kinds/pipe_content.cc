// Reading a pipe without emptying it.
//
// tee(2) duplicates the buffers of a pipe into another one without consuming them; the copy is then read. In packet mode
// (O_DIRECT on the writer, pipe(2)) each packet is a buffer with a mark, and read(2) never goes past a marked buffer's
// end: a read of the copy with a large buffer gives either one packet, or all bytes of a stream.
//
// Which of the two it was shows when a second copy is read one byte short: what is left of a packet is thrown away by the
// kernel, what is left of a stream stays. A last packet of one byte can't be told from a stream of one byte; then the
// mode of a writer decides.
//
// Limit: bytes written in stream mode directly followed by a packet (the writer switched modes with F_SETFL while bytes
// were unread) come back as one packet of both, or as a stream when that is more than a packet can hold.
#include "pod/kinds/pipe_content.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "pod/kinds/common.h"

namespace godwit::pod::kinds {

PipeSide pipe_side(unsigned flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY: return PipeSide::kReader;
    case O_WRONLY: return PipeSide::kWriter;
    default: return PipeSide::kBoth;
  }
}

PipeEnds find_ends(DumpContext& ctx, const OpenFileView& view) {
  PipeEnds ends;
  const auto ids = ctx.files_with_inode(view.st.st_dev, view.st.st_ino);
  for (const auto& d : ctx.descriptors()) {
    if (!S_ISFIFO(d.mode) || (d.flags & O_PATH) != 0 || std::ranges::find(ids, d.file) == ids.end()) continue;
    ends.tree_reader |= pipe_side(d.flags) != PipeSide::kWriter;
    ends.tree_writer |= pipe_side(d.flags) != PipeSide::kReader;
  }
  // pipe_poll() of the kernel: a reader without writers sees POLLHUP, a writer without readers POLLERR.
  pollfd p{view.ours.get(), POLLIN | POLLOUT, 0};
  (void)::poll(&p, 1, 0);
  const PipeSide side = pipe_side(view.flags);
  ends.hung_up = (p.revents & POLLHUP) != 0;
  ends.reader = side != PipeSide::kWriter || (p.revents & POLLERR) == 0;
  ends.writer = side != PipeSide::kReader || !ends.hung_up;
  return ends;
}

Result<uint64_t> unread_bytes(const Fd& end) {
  int n = 0;
  if (::ioctl(end.get(), FIONREAD, &n) != 0) return fail_errno(errno, "FIONREAD of a pipe");
  return static_cast<uint64_t>(n);
}

namespace {

// A pipe of its own that holds the same buffers; `in` is left as it was.
Result<Fd> copy_of(const Fd& in, int capacity) {
  TRY(auto ends, sys::pipe(O_NONBLOCK));
  auto& [reader, writer] = ends;
  if (::fcntl(writer.get(), F_SETPIPE_SZ, capacity) < 0)
    return fail_errno(errno, "a pipe of " + std::to_string(capacity) + " bytes");
  const ssize_t n = ::tee(in.get(), writer.get(), std::numeric_limits<int>::max(), SPLICE_F_NONBLOCK);
  if (n < 0 && errno != EAGAIN) return fail_errno(errno, "tee of a pipe");
  return std::move(reader);
}

Result<void> read_records(const Fd& reader, int capacity, uint64_t unread, bool writer_in_packet_mode,
                          pb::PipeContent& content) {
  TRY(Fd all, copy_of(reader, capacity));
  TRY(Fd probe, copy_of(reader, capacity));
  std::vector<std::byte> buffer(unread);
  for (uint64_t left = unread; left > 0;) {
    TRY(const size_t n, io::read_some(all.get(), buffer));
    if (n == 0) return fail(Code::kFailed, "a pipe gave only a part of its " + std::to_string(unread) + " bytes");
    auto* record = content.add_records();
    record->set_data(buffer.data(), n);
    left -= n;
    bool packet = left > 0 || writer_in_packet_mode;  // a read that ended early ended at a packet's end
    if (n > 1) {
      TRY_DO(io::read_full(probe.get(), std::span(buffer).first(n - 1)));
      TRY(const uint64_t rest, unread_bytes(probe));
      packet = rest == left && n <= PIPE_BUF;
      if (rest == left) {  // the last byte went with the rest of its packet
        record->set_packet(packet);
        continue;
      }
    }
    TRY_DO(io::read_full(probe.get(), std::span(buffer).first(1)));
    record->set_packet(packet);
  }
  return {};
}

}  // namespace

Result<pb::PipeContent> save_content(DumpContext& ctx, const OpenFileView& view) {
  pb::PipeContent content;
  const int capacity = ::fcntl(view.ours.get(), F_GETPIPE_SZ);
  if (capacity < 0) return fail_errno(errno, view.object + ": F_GETPIPE_SZ");
  content.set_capacity(static_cast<uint32_t>(capacity));
  TRY(const uint64_t unread, unread_bytes(view.ours));
  if (unread == 0 || ctx.inspecting()) return content;

  const auto ids = ctx.files_with_inode(view.st.st_dev, view.st.st_ino);
  const bool packets = std::ranges::any_of(ctx.descriptors(), [&](const HeldDescriptor& d) {
    return (d.flags & O_DIRECT) != 0 && std::ranges::find(ids, d.file) != ids.end();
  });
  if (pipe_side(view.flags) != PipeSide::kWriter) {
    TRY_IN(view.object, read_records(view.ours, capacity, unread, packets, content));
    return content;
  }
  // Only writers are left in the tree: read through an end of our own. Nobody runs who could notice it come and go.
  TRY(Fd reader, reopen(ctx.proc_dir(), view.ours, O_RDONLY | O_NONBLOCK));
  TRY_IN(view.object, read_records(reader, capacity, unread, packets, content));
  return content;
}

Result<void> load_content(const pb::PipeContent& content, const Fd& writer) {
  const int have = ::fcntl(writer.get(), F_GETPIPE_SZ);
  if (static_cast<uint32_t>(have) != content.capacity() &&
      ::fcntl(writer.get(), F_SETPIPE_SZ, static_cast<int>(content.capacity())) < 0) {
    return fail_errno(errno, "making a pipe of " + std::to_string(content.capacity()) +
                                 " bytes (more than /proc/sys/fs/pipe-max-size needs CAP_SYS_RESOURCE)");
  }
  const int flags = ::fcntl(writer.get(), F_GETFL);
  Result<void> done;
  for (const auto& record : content.records()) {
    if (record.packet() && record.data().size() > PIPE_BUF) {
      return fail(Code::kCorrupt, "a packet of " + std::to_string(record.data().size()) + " bytes in a pipe");
    }
    // Not to block on a state that claims more than fits.
    if (::fcntl(writer.get(), F_SETFL, O_NONBLOCK | (record.packet() ? O_DIRECT : 0)) != 0)
      return fail_errno(errno, "F_SETFL of a pipe");
    done = io::write_full(writer.get(), record.data());
    if (!done) break;
  }
  if (::fcntl(writer.get(), F_SETFL, flags) != 0) return fail_errno(errno, "F_SETFL of a pipe");
  if (!done && done.error().errnum == EAGAIN)
    return fail(Code::kCorrupt, "a pipe is said to hold more than its capacity");
  return done;
}

}  // namespace godwit::pod::kinds
