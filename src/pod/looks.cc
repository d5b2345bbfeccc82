#include "pod/looks.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

constexpr size_t kFew = 4;  // to start a thread takes as long as these

Result<std::vector<int>> numbers_in(const Fd& dir, const std::string& name) {
  TRY(const auto names, sys::list_dir_at(dir, name));
  std::vector<int> numbers;
  for (const auto& text : names) {
    int n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n);
    numbers.push_back(n);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Result<std::vector<MapEntry>> maps_in(const Fd& dir) {
  TRY(const auto text, io::read_file_at(dir, "maps"));
  return parse_maps(text);
}

}  // namespace

Look look_at(const ProcFs& proc, pid_t pid) {
  Look look;
  // By a descriptor of its own: each name would look the process up anew.
  const auto dir = proc.open(pid, "", O_PATH | O_DIRECTORY);
  const auto in = [&](auto read) -> decltype(read(*dir)) {
    if (!dir) return std::unexpected(dir.error());
    return read(*dir);
  };
  const auto text = [&](const std::string& name) { return in([&](const Fd& d) { return io::read_file_at(d, name); }); };
  const auto link = [&](const std::string& name) {
    return in([&](const Fd& d) { return sys::read_link_at(d, name); });
  };
  look.maps = in(maps_in);
  look.auxv = text("auxv");
  look.descriptors = in([](const Fd& d) { return numbers_in(d, "fd"); });
  look.exe = link("exe");
  look.cwd = link("cwd");
  look.root = link("root");
  look.oom_score_adj = text("oom_score_adj");
  look.timers = text("timers");
  for (size_t i = 0; i < kNamespaces.size(); i++) look.namespaces[i] = link("ns/" + std::string(kNamespaces[i]));
  return look;
}

Looks::Looks(const ProcFs& proc, std::vector<pid_t> pids) : proc_(proc), pids_(std::move(pids)), looks_(pids_.size()) {
  if (pids_.size() > kFew) thread_ = std::jthread([this] { run(); });
}

void Looks::run() {
  for (size_t i = 0; i < pids_.size(); i++) {
    if (pids_[i] != 0) looks_[i] = look_at(proc_, pids_[i]);
    done_ = i + 1;
    done_.notify_one();
  }
}

const Look& Looks::of(size_t index) {
  if (!thread_.joinable()) {
    for (; done_ <= index; done_++) {
      if (pids_[done_] != 0) looks_[done_] = look_at(proc_, pids_[done_]);
    }
  }
  for (size_t done = done_; done <= index; done = done_) done_.wait(done);
  return looks_[index];
}

}  // namespace godwit::pod
