#include "node/keeper.h"  // first, so that the header proves self-contained

#include <sys/socket.h>

#include <algorithm>

#include "base/io.h"
#include "base/log.h"

namespace godwit::node {
namespace {

constexpr std::chrono::milliseconds kHelloLimit{10'000};

}  // namespace

rpc::Failure failure_of(const wire::Failure& failure) {
  rpc::Failure out{Error{code_of(failure.code()), failure.errnum(), failure.text()}, {}};
  for (const auto& b : failure.blockers()) out.blockers.push_back({b.code(), b.object(), b.reason(), b.lift()});
  return out;
}

Result<std::unique_ptr<Keeper>> Keeper::connect(const std::string& dir, Events on_event) {
  TRY(Fd socket, link::connect(dir + "/keeper.sock"));
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(socket), std::move(on_event)));
  const int fd = keeper->channel_.fd();
  TRY(const auto speaks, io::wait_readable({&fd, 1}, kHelloLimit));
  if (!speaks) return fail(Code::kPeer, "the keeper says nothing");
  Packet hello;
  TRY_DO(keeper->channel_.receive(hello));
  if (!hello.has_hello()) return fail(Code::kPeer, "the keeper didn't begin with a hello");
  keeper->state_ = hello.hello();
  keeper->reader_ = std::thread([k = keeper.get()] { k->read_all(); });
  return keeper;
}

Keeper::~Keeper() {
  (void)::shutdown(channel_.fd(), SHUT_RDWR);
  if (reader_.joinable()) reader_.join();
}

void Keeper::read_all() {
  for (;;) {
    Packet packet;
    auto got = channel_.receive(packet);
    if (!got) {
      if (got.error().code != Code::kPeer) log::warn("keeper connection: {}", got.error().message());
      break;
    }
    if (packet.id() != 0) {
      take_reply(std::move(packet));
    } else {
      on_event_(&packet);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    connected_ = false;
    changed_.notify_all();
  }
  on_event_(nullptr);
}

void Keeper::take_reply(Packet&& packet) {
  const std::lock_guard lock(mutex_);
  if (packet.has_state()) state_ = packet.state();
  const auto it = pending_.find(packet.id());
  if (it == pending_.end()) return;  // nobody waits any more
  it->second = std::move(packet);
  changed_.notify_all();
}

Outcome<Keeper::Packet> Keeper::request(Packet packet, std::span<const int> fds, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  const uint64_t id = next_id_++;
  pending_[id];
  lock.unlock();
  packet.set_id(id);
  auto sent = channel_.send(packet, fds);
  lock.lock();
  if (sent) {
    changed_.wait_for(lock, limit, [&] { return pending_.at(id).has_value() || !connected_; });
  }
  std::optional<Packet> reply = std::move(pending_.at(id));
  pending_.erase(id);
  lock.unlock();
  if (!sent) return failed(sent.error());
  if (!reply) return failed(Code::kPeer, connected_ ? "the keeper doesn't answer" : "the keeper is gone");
  if (reply->has_failure()) return std::unexpected(failure_of(reply->failure()));
  return std::move(*reply);
}

void Keeper::ack(uint64_t seq) {
  Packet packet;
  packet.mutable_ack()->set_seq(seq);
  if (auto done = request(std::move(packet)); !done && connected_) {
    log::warn("keeper doesn't take an acknowledgement: {}", done.error().error.message());
  }
}

Keeper::State Keeper::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Outcome<Keeper::State> Keeper::refresh(std::chrono::milliseconds limit) {
  Packet packet;
  packet.mutable_status();
  TRY(const Packet reply, request(std::move(packet), {}, limit));
  if (!reply.has_state()) return failed(Code::kPeer, "the keeper's answer isn't a state");
  return reply.state();
}

}  // namespace godwit::node
