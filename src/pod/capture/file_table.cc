#include "pod/capture/file_table.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace godwit::pod {
namespace {

// kcmp(2): 0 the same, 1 less, 2 greater, 3 different. Both descriptors are ours, so this needs no rights over anybody.
Result<int> compare(int a, int b) {
  const pid_t self = ::getpid();
  const long r = ::syscall(SYS_kcmp, self, self, KCMP_FILE, a, b);
  if (r < 0) return fail_errno(errno, "kcmp");
  return static_cast<int>(r);
}

}  // namespace

// Of processes that run on an answer may be outdated at once; then the numbers are wrong for them, and nothing else is.
void KcmpGroups::add(pid_t host_pid) {
  size_t low = 0;
  size_t high = sorted_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const long order = ::syscall(SYS_kcmp, host_pid, sorted_[middle].first, type_, 0, 0);
    if (order == 0) {
      number_[host_pid] = sorted_[middle].second;
      sharers_[sorted_[middle].second]++;
      return;
    }
    if (order == 1)
      high = middle;
    else
      low = middle + 1;
  }
  const size_t number = sorted_.size();
  number_[host_pid] = number;
  sharers_.push_back(1);
  sorted_.insert(sorted_.begin() + static_cast<ptrdiff_t>(low), {host_pid, number});
}

bool KcmpGroups::same(pid_t a, pid_t b) const {
  const auto first = number_.find(a);
  const auto second = number_.find(b);
  return first != number_.end() && second != number_.end() && first->second == second->second;
}

bool KcmpGroups::is_alone(pid_t pid) const {
  const auto number = number_.find(pid);
  return number == number_.end() || sharers_[number->second] == 1;
}

Result<FileTable::Added> FileTable::add(Fd ours, const struct stat& st) {
  auto& bucket = buckets_[{st.st_dev, st.st_ino}];
  size_t low = 0;
  size_t high = bucket.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    TRY(const int order, compare(ours.get(), bucket[middle]->ours.get()));
    if (order == 0) return Added{bucket[middle], false};
    if (order == 1)
      high = middle;
    else
      low = middle + 1;
  }
  auto entry = std::make_unique<FileEntry>();
  entry->id = static_cast<FileId>(entries_.size() + 1);
  entry->ours = std::move(ours);
  entry->st = st;
  bucket.insert(bucket.begin() + static_cast<ptrdiff_t>(low), entry.get());
  entries_.push_back(std::move(entry));
  return Added{entries_.back().get(), true};
}

std::vector<FileId> FileTable::with_inode(dev_t device, ino_t inode) const {
  std::vector<FileId> ids;
  const auto it = buckets_.find({device, inode});
  if (it == buckets_.end()) return ids;
  for (const FileEntry* entry : it->second) ids.push_back(entry->id);
  std::ranges::sort(ids);
  return ids;
}

std::optional<FileId> FileTable::inherited(pid_t parent, pid_t host_pid, int fd) const {
  const auto known = where_.find({parent, fd});
  if (known == where_.end() || ::syscall(SYS_kcmp, parent, host_pid, KCMP_FILE, fd, fd) != 0) return std::nullopt;
  return known->second;
}

Result<FileId> FileTable::at(pid_t host_pid, int fd) const {
  const auto it = where_.find({host_pid, fd});
  if (it == where_.end())
    return fail(Code::kNotFound, "pid " + std::to_string(host_pid) + " has no fd " + std::to_string(fd));
  return it->second;
}

}  // namespace godwit::pod
