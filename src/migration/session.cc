#include "migration/session.h"

#include <algorithm>
#include <cstring>

namespace godwit::migration {
namespace {
// A message's buffer grows with what has arrived: a length that a peer only claims costs nothing.
constexpr size_t kGrowth = 1u << 20;
constexpr int kBlockersLimit = 10000;
constexpr size_t kTextLimit = 64u << 10;
}  // namespace

Event Event::link_lost(Error error) {
  Event e;
  e.kind = Kind::kLinkLost;
  e.error = std::move(error);
  return e;
}

Event Event::answered(const Answer& answer) {
  Event e;
  e.kind = Kind::kAnswer;
  e.answer = answer;
  return e;
}

Event Event::cancelled(const std::string& why) {
  Event e;
  e.kind = Kind::kCancel;
  e.error = {Code::kFailed, 0, why};
  return e;
}

void Mailbox::put(Event event) {
  event.at = monotonic_now();
  const std::scoped_lock lock(mutex_);
  events_.push_back(std::move(event));
  changed_.notify_all();
}

std::optional<Event> Mailbox::take(Nanos timeout) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, timeout, [&] { return !events_.empty(); })) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

ControlLink::ControlLink(std::unique_ptr<TlsStream> stream, Mailbox& mailbox, Patience patience,
                         std::function<void()> lost, AtOnce at_once)
    : stream_(std::move(stream)),
      mailbox_(mailbox),
      patience_(patience),
      lost_(std::move(lost)),
      at_once_(std::move(at_once)) {
  listener_ = std::jthread([this] { listen(); });
  heart_ = std::jthread([this] { beat(); });
}

ControlLink::~ControlLink() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  stream_->cancel();
  listener_.join();
  heart_.join();
}

Result<void> ControlLink::send(const stream::Control& message) {
  std::string bytes;
  if (!message.SerializeToString(&bytes)) return fail(Code::kFailed, "message can't be encoded");
  if (bytes.size() > kControlLimit) {
    return fail(Code::kRefused,
                "message of " + std::to_string(bytes.size()) + " bytes, at most " + std::to_string(kControlLimit));
  }
  const auto length = static_cast<uint32_t>(bytes.size());
  std::array<std::byte, 4> head;
  std::memcpy(head.data(), &length, head.size());
  return stream_->write({head, bytes_of(bytes)}, patience_.stall);
}

Result<void> ControlLink::receive(stream::Control& message) {
  std::array<std::byte, 4> head;
  TRY_DO(stream_->read(head, patience_.silence));
  uint32_t length = 0;
  std::memcpy(&length, head.data(), head.size());
  if (length > kControlLimit) return fail(Code::kCorrupt, "message of " + std::to_string(length) + " bytes");
  std::string bytes;
  while (bytes.size() < length) {
    const size_t at = bytes.size();
    bytes.resize(std::min<size_t>(length, at + kGrowth));
    TRY_DO(stream_->read(std::as_writable_bytes(std::span(bytes)).subspan(at), patience_.silence));
  }
  if (!message.ParseFromString(bytes)) return fail(Code::kCorrupt, "message can't be decoded");
  if (message.body_case() == stream::Control::BODY_NOT_SET) return fail(Code::kCorrupt, "message of unknown kind");
  return {};
}

void ControlLink::listen() {
  for (;;) {
    Event event;
    event.message = std::make_unique<stream::Control>();
    if (auto r = receive(*event.message); !r) {
      {
        const std::scoped_lock lock(mutex_);
        over_ = true;
        changed_.notify_all();
      }
      lost_();
      mailbox_.put(Event::link_lost(std::move(r).error()));
      return;
    }
    if (event.message->has_heartbeat() || (at_once_ && at_once_(*this, *event.message))) continue;
    mailbox_.put(std::move(event));
  }
}

void ControlLink::beat() {
  stream::Control heartbeat;
  heartbeat.mutable_heartbeat();
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, patience_.heartbeat, [&] { return ending_ || over_; })) {
    lock.unlock();
    (void)send(heartbeat);  // a link that is gone is the listener's to report
    lock.lock();
  }
}

void ControlLink::linger(Nanos at_most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, at_most, [&] { return over_; });
}

Result<void> send_token(TlsStream& s, const std::string& token, Nanos timeout) {
  if (token.empty() || token.size() >= kTokenBlock) return fail(Code::kUsage, "token of a wrong length");
  std::array<std::byte, kTokenBlock> block{};
  block[0] = static_cast<std::byte>(token.size());
  std::memcpy(block.data() + 1, token.data(), token.size());
  return s.write(block, timeout);
}

Result<void> check_token(TlsStream& s, const std::string& token, Nanos timeout) {
  std::array<std::byte, kTokenBlock> block;
  TRY_DO(s.read(block, timeout));
  const auto length = std::to_integer<size_t>(block[0]);
  if (length == 0 || length >= kTokenBlock) return fail(Code::kCorrupt, "token of a wrong length");
  const std::string_view shown(reinterpret_cast<const char*>(block.data()) + 1, length);
  if (!pki::same_secret(shown, token)) return fail(Code::kPeer, "the peer has not the token of this move");
  return {};
}

void to_wire(const engine::Blocker& b, wire::Blocker& out) {
  out.set_code(b.code);
  out.set_object(b.object);
  out.set_reason(b.reason);
  out.set_lift(b.lift);
}

engine::Blocker from_wire(const wire::Blocker& b) { return {b.code(), b.object(), b.reason(), b.lift()}; }

void to_wire(const Error& error, const std::vector<engine::Blocker>& blockers, wire::Failure& out) {
  out.set_code(static_cast<int>(error.code));
  out.set_errnum(error.errnum);
  out.set_text(error.text);
  for (const auto& b : blockers) to_wire(b, *out.add_blockers());
}

Error from_wire(const wire::Failure& failure, std::vector<engine::Blocker>& blockers) {
  Error e;
  e.code = code_of(failure.code());
  e.errnum = std::clamp(failure.errnum(), 0, 4095);
  e.text = failure.text().substr(0, kTextLimit);
  for (int i = 0; i < std::min(failure.blockers_size(), kBlockersLimit); i++) {
    blockers.push_back(from_wire(failure.blockers(i)));
  }
  return e;
}

Digest256 state_digest(const Digest256& page_root, const std::string& state, const std::string& files,
                       const std::string& later) {
  std::vector<std::byte> all(page_root.begin(), page_root.end());
  for (const auto& d : {sha256(bytes_of(state)), sha256(bytes_of(files))}) all.insert(all.end(), d.begin(), d.end());
  if (!later.empty()) {
    const auto d = sha256(bytes_of(later));
    all.insert(all.end(), d.begin(), d.end());
  }
  return sha256(all);
}

}  // namespace godwit::migration
