// What lies in a pipe: read without taking it out, and written into a new one. Used by pipes and FIFOs.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "godwit/pod_kinds_pipe.pb.h"
#include "pod/kinds.h"

namespace godwit::pod::kinds {

enum class PipeSide { kReader, kWriter, kBoth };
PipeSide pipe_side(unsigned flags);

/// Which ends of the pipe exist at all, and whether the tree itself has them.
struct PipeEnds {
  bool reader = false, writer = false;          ///< somewhere
  bool tree_reader = false, tree_writer = false;
  bool hung_up = false;                         ///< a reader sees POLLHUP
  bool outside() const { return (reader && !tree_reader) || (writer && !tree_writer); }
};
/// Asks through one end. Changes nothing.
PipeEnds find_ends(DumpContext& ctx, const OpenFileView& view);

/// Unread bytes (FIONREAD).
Result<uint64_t> unread_bytes(const Fd& end);
/// Capacity and unread records. `end` may be of either side.
Result<pb::PipeContent> save_content(DumpContext& ctx, const OpenFileView& view);
/// Gives the pipe its capacity and puts the records in. `writer` is an end that may write; its flags are put back.
Result<void> load_content(const pb::PipeContent& content, const Fd& writer);

}  // namespace godwit::pod::kinds
