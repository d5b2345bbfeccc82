#include "migration/late.h"

#include <algorithm>

#include "base/log.h"
#include "migration/pages.h"

namespace godwit::migration {

using engine::PageRun;
using stream::Control;

namespace {

std::string digest_text(const std::string& runs, const std::string& content) {
  const Digest128 d = digest_of(bytes_of(runs), bytes_of(content));
  return {reinterpret_cast<const char*>(d.data()), d.size()};
}

bool before(const PageRun& a, const PageRun& b) {
  return a.space != b.space ? a.space < b.space : a.address < b.address;
}

}  // namespace

std::string encode_late(std::span<const PageRun> runs) {
  // A run's length is a 32-bit number of pages on the wire: 16 TiB, more than an x86-64 process has in one area.
  std::string out(runs.size() * kRunSize, '\0');
  auto* at = reinterpret_cast<std::byte*>(out.data());
  for (const auto& run : runs) {
    encode(run, std::span<std::byte, kRunSize>(at, kRunSize));
    at += kRunSize;
  }
  return out;
}

Result<std::vector<PageRun>> decode_late(const std::string& bytes) {
  if (bytes.size() % kRunSize != 0) return fail(Code::kCorrupt, "a list of runs with a part of a run");
  std::vector<PageRun> runs;
  TRY_DO(decode_runs(bytes_of(bytes), runs));
  for (size_t i = 1; i < runs.size(); i++) {
    const bool apart =
        runs[i - 1].space != runs[i].space || runs[i - 1].address + runs[i - 1].length <= runs[i].address;
    if (!before(runs[i - 1], runs[i]) || !apart) return fail(Code::kCorrupt, "runs that aren't sorted");
  }
  return runs;
}

void LateServer::open(std::vector<PageRun> later, engine::PageReader* reader) {
  later_ = std::move(later);
  reader_ = reader;
  open_ = true;
}

void LateServer::close() {
  const std::scoped_lock lock(mutex_);
  open_ = false;
  reader_ = nullptr;
}

uint64_t LateServer::pages() const {
  uint64_t n = 0;
  for (const auto& run : later_) n += run.length / kPageSize;
  return n;
}

bool LateServer::holds(const PageRun& run) const {
  const auto next = std::ranges::upper_bound(later_, run, before);
  if (next == later_.begin()) return false;
  const PageRun& in = *std::prev(next);
  return in.space == run.space && run.address + run.length <= in.address + in.length;
}

bool LateServer::handle(ControlLink& link, const Control& message) {
  if (!message.has_pages_wanted() || !open_) return false;
  auto runs = decode_late(message.pages_wanted().runs());
  if (!runs || runs->empty()) return false;
  uint64_t bytes = 0;
  for (const auto& run : *runs) {
    bytes += run.length;
    if (bytes > kWantedLimit || !holds(run)) return false;
  }
  // An error of the link is the listener's to find; what can't be read can't be had any more, which silence will tell.
  if (auto r = give(link, *runs); !r) log::error("pages that are waited for: {}", r.error().message());
  return true;
}

Result<void> LateServer::give(ControlLink& link, std::span<const PageRun> runs) {
  uint64_t bytes = 0;
  for (const auto& run : runs) bytes += run.length;
  Control m;
  auto& given = *m.mutable_pages_given();
  given.set_runs(encode_late(runs));
  std::string& content = *given.mutable_content();
  content.resize(bytes);
  {
    const std::scoped_lock lock(mutex_);
    if (reader_ == nullptr) return {};
    TRY_DO(reader_->read(runs, std::as_writable_bytes(std::span(content))));
  }
  given.set_digest(digest_text(given.runs(), content));
  given_ += bytes / kPageSize;
  return link.send(m);
}

Result<void> LateServer::push(PageSender& sender, const std::function<Result<void>()>& between) {
  std::vector<PageRun> slice;
  uint64_t bytes = 0;
  const auto flush = [&]() -> Result<void> {
    TRY_DO(between());
    TRY_DO(sender.pages(slice, *reader_));
    slice.clear();
    bytes = 0;
    return {};
  };
  for (PageRun run : later_) {
    while (run.length > 0) {
      const uint64_t part = std::min(run.length, kPushSlice - bytes);
      slice.push_back({run.space, run.address, part});
      run.address += part;
      run.length -= part;
      bytes += part;
      if (bytes == kPushSlice) TRY_DO(flush());
    }
  }
  return slice.empty() ? Result<void>() : flush();
}

void LateAsker::open(ControlLink& link) {
  const std::scoped_lock lock(mutex_);
  link_ = &link;
}

void LateAsker::close() {
  const std::scoped_lock lock(mutex_);
  link_ = nullptr;
}

void LateAsker::want(std::span<const PageRun> runs) {
  for (const auto& run : runs) wanted_ += run.length / kPageSize;
  Control m;
  m.mutable_pages_wanted()->set_runs(encode_late(runs));
  const std::scoped_lock lock(mutex_);
  if (link_ == nullptr) return;
  // A link that is gone is the listener's to report.
  if (auto r = link_->send(m); !r) log::debug("pages can't be asked for: {}", r.error().message());
}

Result<std::vector<PageRun>> runs_given(const stream::PagesGiven& given) {
  TRY(auto runs, decode_late(given.runs()));
  uint64_t bytes = 0;
  for (const auto& run : runs) bytes += run.length;
  if (runs.empty() || bytes > kWantedLimit || bytes != given.content().size()) {
    return fail(Code::kCorrupt, "pages that were asked for came with another length");
  }
  if (digest_text(given.runs(), given.content()) != given.digest()) {
    return fail(Code::kCorrupt, "pages that were asked for came with another digest");
  }
  return runs;
}

}  // namespace godwit::migration
