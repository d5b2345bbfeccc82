#include "keeper/feeder.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/base.h"

namespace godwit::keeper {
namespace {

// As in relay/main.cc. At most PIPE_BUF together: one write is all or nothing.
enum class Type : unsigned char { kData = 0, kEnd = 1, kWindow = 2 };
constexpr size_t kHead = 4;
constexpr size_t kMost = PIPE_BUF - kHead;
constexpr auto kAgain = std::chrono::milliseconds(10);  // the program hasn't read what it got

std::string make_record(Type type, std::string_view data) {
  std::string out = {static_cast<char>(type), 0, static_cast<char>(data.size() & 0xff),
                     static_cast<char>(data.size() >> 8)};
  return out.append(data);
}

std::string window_bytes(const wire::WindowSize& window) {
  winsize size{};
  size.ws_row = static_cast<unsigned short>(window.rows());
  size.ws_col = static_cast<unsigned short>(window.columns());
  return {reinterpret_cast<const char*>(&size), sizeof size};
}

Error gone_error() { return {Code::kGone, 0, "the unit isn't here any more"}; }

}  // namespace

Feeder::Feeder(Answer answer) : answer_(std::move(answer)), thread_([this] { run(); }) {}

Feeder::~Feeder() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Feeder::open(Fd unit_mount) {
  const std::scoped_lock lock(mutex_);
  mount_ = std::move(unit_mount);
  changed_.notify_all();
}
void Feeder::push(wire::keeper::Packet request) {
  const std::scoped_lock lock(mutex_);
  waiting_.push_back(std::move(request));
  changed_.notify_all();
}
void Feeder::hold() {
  const std::scoped_lock lock(mutex_);
  held_ = true;
}
void Feeder::release() {
  const std::scoped_lock lock(mutex_);
  held_ = false;
  changed_.notify_all();
}
void Feeder::gone() {
  const std::scoped_lock lock(mutex_);
  gone_ = true;
  changed_.notify_all();
}

void Feeder::answer_front(Result<void> result, std::unique_lock<std::mutex>& lock) {
  const uint64_t id = waiting_.front().id();
  waiting_.pop_front();
  fed_ = 0;
  lock.unlock();
  answer_(id, std::move(result));
  lock.lock();
}

Result<Feeder::Fed> Feeder::feed_some() {
  const auto& request = waiting_.front();
  std::string record;
  size_t fed = 0;
  bool done = true;
  if (request.has_resize()) {
    record = make_record(Type::kWindow, window_bytes(request.resize().window()));
  } else if (const auto& data = request.input().data(); fed_ < data.size()) {
    fed = std::min(kMost, data.size() - fed_);
    record = make_record(Type::kData, std::string_view(data).substr(fed_, fed));
    done = fed_ + fed == data.size() && !request.input().end();
  } else if (request.input().end()) {
    record = make_record(Type::kEnd, {});
  } else {
    return Fed::kDone;
  }
  // Opened each time: between two records the unit's FIFO is its own.
  const auto fifo = sys::open_at(mount_, "in", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (!fifo && fifo.error().errnum == ENOENT)
    return fail(Code::kRefused, "the unit was started without a terminal and without an input");
  if (!fifo && fifo.error().errnum == ENXIO) return fail(Code::kRefused, "nobody in the unit reads its input any more");
  if (!fifo) return std::unexpected(fifo.error());
  const ssize_t n = ::write(fifo->get(), record.data(), record.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Fed::kFull;
  if (n < 0) return fail_errno(errno, "the unit's input");
  fed_ += fed;
  return done ? Fed::kDone : Fed::kMore;
}

void Feeder::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (waiting_.empty() || (!gone_ && (held_ || !mount_.valid()))) {
      changed_.wait(lock);
      continue;
    }
    if (gone_) {
      answer_front(std::unexpected(gone_error()), lock);
      continue;
    }
    const auto fed = feed_some();
    if (!fed) {
      answer_front(std::unexpected(fed.error()), lock);
    } else if (*fed == Fed::kFull) {
      changed_.wait_for(lock, kAgain);
    } else if (*fed == Fed::kDone) {
      answer_front({}, lock);
    }
  }
}

}  // namespace godwit::keeper
