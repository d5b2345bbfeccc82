#include "keeper/outbox.h"

#include <algorithm>

#include "base/log.h"

namespace godwit::keeper {
namespace {
bool is_question(const Packet& p) { return p.has_commit_question() || p.has_resolve_question(); }
}  // namespace

void Outbox::connected(std::shared_ptr<link::Channel> channel, const wire::keeper::State& hello) {
  const std::scoped_lock lock(mutex_);
  channel_ = std::move(channel);
  Packet first;
  *first.mutable_hello() = hello;
  auto sent = channel_->send(first);
  for (const auto& [seq, packet] : waiting_) {
    if (sent) sent = channel_->send(packet);
  }
  if (!sent) log::warn("daemon: {}", sent.error().message());
}

void Outbox::disconnected() {
  const std::scoped_lock lock(mutex_);
  channel_.reset();
}

void Outbox::post(Packet event) {
  const std::scoped_lock lock(mutex_);
  event.set_seq(++last_seq_);
  // An error is the reader's to notice; the event is said again to the next daemon.
  if (channel_) (void)channel_->send(event);
  waiting_.emplace(event.seq(), std::move(event));
}

void Outbox::tell(const Packet& event) {
  const std::scoped_lock lock(mutex_);
  if (channel_) (void)channel_->try_send(event);
}

void Outbox::reply(const Packet& packet) {
  const std::scoped_lock lock(mutex_);
  if (channel_) (void)channel_->send(packet);
}

void Outbox::acknowledged(uint64_t seq) {
  const std::scoped_lock lock(mutex_);
  const auto it = waiting_.find(seq);
  if (it != waiting_.end() && !is_question(it->second)) waiting_.erase(it);
}

void Outbox::answered(Packet::BodyCase question) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(waiting_, [&](const auto& w) { return w.second.body_case() == question; });
}

bool Outbox::asks(Packet::BodyCase question) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(waiting_, [&](const auto& w) { return w.second.body_case() == question; });
}

bool Outbox::empty() const {
  const std::scoped_lock lock(mutex_);
  return waiting_.empty();
}

}  // namespace godwit::keeper
