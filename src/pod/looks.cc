#include "pod/looks.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

constexpr size_t kFew = 4;  // to start a thread takes as long as these
constexpr size_t kMostHelpers = 3;

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

Look look_at(const ProcFs& proc, pid_t pid, bool only_namespaces) {
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
  for (size_t i = 0; i < kNamespaces.size(); i++) look.namespaces[i] = link("ns/" + std::string(kNamespaces[i]));
  if (only_namespaces) return look;
  look.maps = in(maps_in);
  look.auxv = text("auxv");
  look.descriptors = in([](const Fd& d) { return numbers_in(d, "fd"); });
  look.exe = link("exe");
  look.cwd = link("cwd");
  look.root = link("root");
  look.oom_score_adj = text("oom_score_adj");
  look.timers = text("timers");
  return look;
}

Looks::Looks(const ProcFs& proc, std::vector<Subject> subjects, Scan scan)
    : proc_(proc),
      scan_(std::move(scan)),
      subjects_(std::move(subjects)),
      statuses_(subjects_.size()),
      looks_(subjects_.size()),
      scans_(scan_ ? subjects_.size() : 0) {
  done_ = std::make_unique<std::atomic<bool>[]>(items());
  if (subjects_.size() <= kFew) return;
  const size_t others = std::thread::hardware_concurrency() - 1;  // where 0 is "unknown", there are many
  for (size_t i = 0; i < std::min(others, kMostHelpers); i++) helpers_.emplace_back([this] { help(); });
}

Looks::~Looks() { next_ = items(); }

void Looks::help() {
  for (size_t item = next_++; item < items(); item = next_++) do_item(item);
}

void Looks::do_item(size_t item) {
  const size_t count = subjects_.size();
  const size_t index = item % count;
  const Subject& subject = subjects_[index];
  if (item < count) {
    for (const pid_t tid : subject.threads) statuses_[index].push_back(proc_.status(subject.pid, tid));
  } else if (item < 2 * count) {
    if (subject.pid != 0) looks_[index] = look_at(proc_, subject.pid, subject.only_namespaces);
  } else if (subject.pid != 0 && !subject.only_namespaces) {
    wait_for_others(item - count);  // another thread took the look earlier
    scans_[index] = scan_(subject.pid, looks_[index]);
  }
  done_[item] = true;
  done_[item].notify_all();
}

void Looks::wait_for_others(size_t item) const {
  while (!done_[item]) done_[item].wait(false);
}

void Looks::wait_for_item(size_t item) {
  while (!done_[item]) {
    if (const size_t own = next_++; own < items())
      do_item(own);
    else
      wait_for_others(item);
  }
}

const Look& Looks::of(size_t index) {
  wait_for_item(subjects_.size() + index);
  return looks_[index];
}

std::vector<Result<ProcStatus>>& Looks::statuses_of(size_t index) {
  wait_for_item(index);
  return statuses_[index];
}

Result<ScanResult>& Looks::scan_of(size_t index) {
  wait_for_item(2 * subjects_.size() + index);
  return scans_[index];
}

}  // namespace godwit::pod
