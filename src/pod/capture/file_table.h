// Which descriptors of which processes are the same open file description (open(2)): found once, by kcmp(2).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "pod/kinds.h"
#include "pod/proc.h"

namespace godwit::pod {

/// One description with our duplicate of it and where it was first seen.
struct FileEntry {
  FileId id = 0;
  Fd ours;
  struct stat st{};
  std::string link;
  std::string fdinfo;
  pid_t host_pid = 0;
  pid_t pid = 0;
  int fd = -1;
  uint64_t filesystem = 0;
  unsigned flags = 0;
  std::string object;
  OpenFileView view() const { return {ours, st, link, fdinfo, host_pid, pid, fd, filesystem, flags, object}; }
};

/// Which processes share an object (memory, descriptor table …). kcmp(2) orders the objects, so n processes cost n log n
/// comparisons; of all pairs, a tree of 100 processes would cost 20 000.
class KcmpGroups {
 public:
  explicit KcmpGroups(int type) : type_(type) {}
  void add(pid_t host_pid);
  /// Two processes that were added.
  bool same(pid_t a, pid_t b) const;
  /// No other that was added has the same object.
  bool is_alone(pid_t pid) const;

 private:
  int type_;
  std::vector<std::pair<pid_t, size_t>>
      sorted_;  // one process of each object, in kcmp's order, and the object's number
  std::map<pid_t, size_t> number_;
  std::vector<int> sharers_;  // of each number
};

class FileTable {
 public:
  /// The entry of descriptor `fd`, of which `ours` is a duplicate; a new one if it hasn't been seen (`is_new`).
  struct Added {
    FileEntry* entry;
    bool is_new;
  };
  Result<Added> add(Fd ours, const struct stat& st);
  const std::vector<std::unique_ptr<FileEntry>>& entries() const { return entries_; }
  std::vector<FileId> with_inode(dev_t device, ino_t inode) const;
  void set_at(pid_t host_pid, int fd, FileId id) { where_[{host_pid, fd}] = id; }
  Result<FileId> at(pid_t host_pid, int fd) const;
  /// What `fd` of a process is, if its parent has the same under this number, as after fork(2): one call instead of five.
  std::optional<FileId> inherited(pid_t parent, pid_t host_pid, int fd) const;

 private:
  std::vector<std::unique_ptr<FileEntry>> entries_;
  // Sorted by kcmp's order within one inode. Anonymous inodes are all the same inode, so this must not be a plain scan.
  std::map<std::pair<dev_t, ino_t>, std::vector<FileEntry*>> buckets_;
  std::map<std::pair<pid_t, int>, FileId> where_;
};

}  // namespace godwit::pod
