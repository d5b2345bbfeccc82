// A portable program into a file.
//
// The file is made complete beside its name: script, the parts of the program that it was started from, the image as it comes.
// It is synced and renamed before the program gets the byte that lets it end, so a cut at any moment leaves the program
// running, or the file whole, and never neither.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "base/base.h"
#include "base/new_file.h"
#include "portable/portable.h"
#include "portable/protocol.h"
#include "portable/request.h"

namespace godwit::portable {
namespace {

Result<Package> copy_parts(const std::string& program, Fd& to) {
  TRY(const auto from, sys::open(program, O_RDONLY));
  TRY(auto package, read_package(from));
  const uint64_t end = package.blocks();
  Package copy{package.parts, end};
  TRY_DO(io::write_full(to.get(), starting_script(copy)));
  off_t at = static_cast<off_t>(kBlock);
  TRY(const auto state, sys::stat(from));
  const auto wanted = static_cast<off_t>(std::min<uint64_t>(end * kBlock, static_cast<uint64_t>(state.st_size)));
  while (at < wanted) {
    off_t source = at;
    const ssize_t moved =
        ::copy_file_range(from.get(), &source, to.get(), nullptr, static_cast<size_t>(wanted - at), 0);
    if (moved <= 0) return fail_errno(moved < 0 ? errno : EIO, "copying " + program);
    at += moved;
  }
  if (::lseek(to.get(), static_cast<off_t>(end * kBlock), SEEK_SET) < 0)
    return fail_errno(errno, "seeking in the new file");
  return copy;
}

}  // namespace

Result<Saved> checkpoint(pid_t pid, const std::string& path, const SaveOptions& options) {
  TRY(const Fd proc, sys::open("/proc", O_RDONLY | O_DIRECTORY));
  Saved saved;
  TRY(saved.program, package_path(proc, pid));
  NewFile file(path);
  TRY_DO(file.open(0700));
  TRY(const auto package, copy_parts(saved.program, file.fd()));
  const auto begin = std::chrono::steady_clock::now();
  TRY(auto request, Request::begin(proc, pid));
  TRY(saved.image_bytes, request.ask(file.fd(), options.leave_running ? GODWIT_REQUEST_LEAVE_RUNNING : 0));
  saved.stopped_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  TRY(const auto state, sys::stat(file.fd()));
  saved.file_bytes = static_cast<uint64_t>(state.st_size);
  TRY_DO(file.finish());
  if (!options.leave_running) TRY_DO(request.commit());
  return saved;
}

}  // namespace godwit::portable
