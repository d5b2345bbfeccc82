#include "files/share_probe.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/sys.h"
#include "files/beneath.h"

namespace godwit::files {
namespace {

constexpr std::string_view kPrefix = ".godwit-probe-";
constexpr size_t kNonce = 32;
constexpr uint64_t kReplyAt = 64;  // where in the hidden file the destination writes

Result<std::string> random_bytes(size_t n) {
  std::string bytes(n, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(n)) != 1)
    return fail(Code::kFailed, "OpenSSL gives no random bytes");
  return bytes;
}

std::string hex(std::string_view raw) {
  std::string text;
  for (const char c : raw) {
    text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    text += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

std::string directory_of(const std::string& path) {
  const std::string dir(parent_of(path));
  return dir.empty() ? "/" : dir;
}

// Whether the file in the directory is itself a mount point: then the directory says nothing about it.
bool mounted_over(const Fd& dir, const std::string& name) {
  struct statx sx{};
  if (::statx(dir.get(), name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx) < 0) return false;
  return (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<std::string> read_at(const Fd& file, uint64_t offset) {
  std::string bytes(kNonce, '\0');
  TRY_DO(io::pread_full(file.get(), std::as_writable_bytes(std::span(bytes)), offset));
  return bytes;
}

Result<void> check(const ShareQuestion& q) {
  TRY_DO(check_absolute(q.path));
  const std::string_view random = std::string_view(q.probe_name).substr(std::min(kPrefix.size(), q.probe_name.size()));
  const bool good_name = q.probe_name.starts_with(kPrefix) && random.size() == 32 &&
                         random.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!good_name || q.nonce.size() != kNonce || q.path == "/")
    return fail(Code::kCorrupt, "not a question about a shared file");
  return {};
}

}  // namespace

Result<ShareProbe> ShareProbe::ask(const Fd& root, const std::string& path) {
  TRY_DO(check_absolute(path));
  if (path == "/") return fail(Code::kUsage, "the root directory can't be probed");
  ShareProbe probe;
  TRY(auto dir, open_in_root(root, directory_of(path), O_RDONLY | O_DIRECTORY));
  if (mounted_over(dir, std::string(name_of(path))))
    return fail(Code::kRefused, path + " is itself a mount point, so its directory proves nothing");
  TRY(const auto random, random_bytes(16));
  ShareQuestion question;
  question.path = path;
  question.probe_name = std::string(kPrefix) + hex(random);
  TRY(question.nonce, random_bytes(kNonce));
  // Everybody may write to it, because the other side may be another user (root squashed by NFS): the name is a secret
  // of the two keepers, and who guesses it can only spoil the proof.
  auto file = sys::open_at(dir, question.probe_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(file.error().as(Code::kRefused).in("making a probe beside " + path));
  probe.question_ = std::move(question);
  probe.directory_ = std::move(dir);
  if (::fchmod(file->get(), 0666) < 0) return fail_errno(errno, "chmod of a probe beside " + path);
  TRY_IN("writing a probe beside " + path, io::write_full(file->get(), probe.question_.nonce));
  return probe;  // closes the file: that is when a network file system sends what was written to its server
}

ShareProbe::~ShareProbe() {
  if (directory_.valid()) ::unlinkat(directory_.get(), question_.probe_name.c_str(), 0);
}

Result<void> ShareProbe::confirm(const ShareAnswer& given) const {
  const auto no = [&](const std::string& why) {
    return fail(Code::kRefused, question_.path + " is not shared: " + why);
  };
  if (given.path != question_.path) return fail(Code::kCorrupt, "the answer is about another file");
  if (!given.seen) return no(given.why.empty() ? "the destination does not see it" : given.why.substr(0, 400));
  // Opened anew: NFS shows another client's writes at open.
  auto file = sys::open_at(directory_, question_.probe_name, O_RDONLY | O_NOFOLLOW);
  if (!file) return no("the probe vanished");
  const auto reply = read_at(*file, kReplyAt);
  if (!reply || given.reply.size() != kNonce || *reply != given.reply)
    return no("what the destination writes does not arrive here");
  return {};
}

Result<ShareAnswer> answer(const Fd& root, const ShareQuestion& question) {
  TRY_DO(check(question));
  ShareAnswer result;
  result.path = question.path;
  const auto no = [&](std::string why) {
    result.why = std::move(why);
    return result;
  };
  auto dir = open_in_root(root, directory_of(question.path), O_RDONLY | O_DIRECTORY);
  if (!dir) return no("there: " + dir.error().message());
  const std::string name(name_of(question.path));
  if (mounted_over(*dir, name)) return no("there it is itself a mount point");
  if (!sys::stat_at(*dir, name, AT_SYMLINK_NOFOLLOW)) return no("there is no such file there");
  auto probe = sys::open_at(*dir, question.probe_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  if (!probe && probe.error().errnum == ENOENT) return no("the directory there is another one");
  if (!probe) return no("there: " + probe.error().message());
  const auto nonce = read_at(*probe, 0);
  if (!nonce || *nonce != question.nonce) return no("the directory there has other content");
  TRY(result.reply, random_bytes(kNonce));
  const auto written = io::pwrite_full(probe->get(), std::as_bytes(std::span(result.reply)), kReplyAt);
  if (!written) return no("there: " + written.error().message());
  result.seen = true;
  return result;
}

}  // namespace godwit::files
