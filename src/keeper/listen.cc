// The listening thread: one daemon at a time, its requests, and what is answered at once.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/base.h"
#include "keeper/keeper.h"

namespace godwit::keeper {

namespace k = wire::keeper;

void to_wire(const Error& error, const std::vector<engine::Blocker>& blockers, wire::Failure& out) {
  out.set_code(static_cast<int>(error.code));
  out.set_errnum(error.errnum);
  out.set_text(error.text);
  for (const auto& b : blockers) {
    auto& w = *out.add_blockers();
    w.set_code(b.code);
    w.set_object(b.object);
    w.set_reason(b.reason);
    w.set_lift(b.lift);
  }
}

void Keeper::reply_done(uint64_t id) {
  Packet p;
  p.set_id(id);
  p.mutable_done();
  outbox_.reply(p);
}

void Keeper::reply_failure(uint64_t id, const Error& error, const std::vector<engine::Blocker>& blockers) {
  Packet p;
  p.set_id(id);
  to_wire(error, blockers, *p.mutable_failure());
  outbox_.reply(p);
}

void Keeper::reply(uint64_t id, Result<void> result) {
  if (result) {
    reply_done(id);
  } else {
    reply_failure(id, result.error());
  }
}

k::State Keeper::state() {
  k::State s;
  {
    const std::scoped_lock lock(mutex_);
    s.set_version(1);
    s.set_unit(args_.unit);
    s.set_epoch(epoch_);
    s.set_phase(phase_);
    s.set_frozen((outgoing_ && outgoing_->frozen()) || (incoming_ && outbox_.asks(Packet::kCommitQuestion)));
    s.set_migration(migration_);
    s.set_commit_token(commit_token_);
    s.set_busy(busy_);
  }
  s.set_keeper_pid(::getpid());
  s.set_init_pid(body_->init_pid());
  const Body::Load load = body_->load();
  s.set_processes(load.processes);
  s.set_memory_bytes(load.memory_bytes);
  s.set_cpu_seconds(load.cpu_seconds);
  return s;
}

void Keeper::listen() {
  std::shared_ptr<link::Channel> channel;
  bool told = false;  // once: who is refused may come again and again
  for (;;) {
    pollfd p[3] = {
        {listener_.get(), POLLIN, 0}, {stop_listening_.get(), POLLIN, 0}, {channel ? channel->fd() : -1, POLLIN, 0}};
    if (::poll(p, 3, -1) < 0) continue;
    if (p[1].revents != 0) return;
    if (p[0].revents != 0) {
      if (auto socket = link::accept(listener_)) {
        if (auto known = visitors_->check(*socket); !known) {
          if (!std::exchange(told, true)) log::warn("a connection was refused: {}", known.error().message());
          continue;
        }
        channel = std::make_shared<link::Channel>(std::move(*socket));
        outbox_.connected(channel, state());
        continue;
      }
    }
    if (p[2].revents != 0 && !serve(*channel)) {
      outbox_.disconnected();
      channel.reset();
      wake();
    }
  }
}

bool Keeper::serve(link::Channel& channel) {
  Packet packet;
  auto fds = channel.receive(packet);
  if (!fds) {
    log::info("daemon gone: {}", fds.error().message());
    return false;
  }
  handle(std::move(packet), std::move(*fds));
  return true;
}

void Keeper::handle(Packet packet, std::vector<Fd> fds) {
  const uint64_t id = packet.id();
  if (handle_at_once(packet, fds)) return;
  switch (packet.body_case()) {
    case Packet::kLaunch:
      if (auto r = begin({k::EMPTY}, k::STARTING); !r) return reply_failure(id, r.error());
      {
        const std::scoped_lock lock(mutex_);
        epoch_ = packet.launch().epoch();
        spec_ = packet.launch().spec();
        node_ = packet.launch().node();
      }
      reply_done(id);
      break;
    case Packet::kReceive:
      if (auto r = begin({k::EMPTY}, k::RECEIVING); !r) return reply_failure(id, r.error());
      {
        const std::scoped_lock lock(mutex_);
        epoch_ = packet.receive().epoch();
        spec_ = packet.receive().spec();
        node_ = packet.receive().node();
        migration_ = packet.receive().migration();
      }
      // The streams may come with the next packet: what takes them must be there before this is answered. So it is made
      // by the main thread, which then answers.
      break;
    case Packet::kMigrate:
      if (auto r = begin({k::RUNNING}, k::SENDING); !r) return reply_failure(id, r.error());
      {
        const std::scoped_lock lock(mutex_);
        migration_ = packet.migrate().migration();
      }
      reply_done(id);
      break;
    case Packet::kRestore:
      if (auto r = begin({k::EMPTY}, k::STARTING); !r) return reply_failure(id, r.error());
      {
        const std::scoped_lock lock(mutex_);
        epoch_ = packet.restore().epoch();
        spec_ = packet.restore().spec();
        node_ = packet.restore().node();
      }
      reply_done(id);
      break;
    case Packet::kCheckpoint:
      if (auto r = begin({k::RUNNING}, k::RUNNING); !r) return reply_failure(id, r.error());
      {
        const std::scoped_lock lock(mutex_);
        busy_ = "checkpoint " + std::to_string(packet.checkpoint().number());
      }
      reply_done(id);
      break;
    case Packet::kCheck:
    case Packet::kAdmit:
    case Packet::kDiscard: break;
    case Packet::kInput:
    case Packet::kResize: feeder_.push(std::move(packet)); return;
    default: return reply_failure(id, {Code::kUsage, 0, "not a request"});
  }
  queue(std::move(packet));
}

// Everything that need not wait for the main thread, which may be in the middle of a move.
bool Keeper::handle_at_once(const Packet& packet, std::vector<Fd>& fds) {
  const uint64_t id = packet.id();
  std::shared_ptr<migration::Outgoing> outgoing;
  std::shared_ptr<migration::Incoming> incoming;
  std::string migration;
  {
    const std::scoped_lock lock(mutex_);
    outgoing = outgoing_;
    incoming = incoming_;
    migration = migration_;
  }
  switch (packet.body_case()) {
    case Packet::kStatus: {
      Packet r;
      r.set_id(id);
      *r.mutable_state() = state();
      outbox_.reply(r);
      return true;
    }
    case Packet::kAck:
      outbox_.acknowledged(packet.ack().seq());
      if (id != 0) reply_done(id);
      wake();
      return true;
    case Packet::kStream:
      if (!incoming || fds.size() != 1 || packet.stream().migration() != migration) {
        if (id != 0) reply_failure(id, {Code::kNotFound, 0, "nobody waits for this stream"});
        return true;
      }
      incoming->add_stream(packet.stream().index(), std::move(fds[0]));
      if (id != 0) reply_done(id);
      return true;
    case Packet::kCommit:
      if (incoming && packet.commit().migration() == migration) {
        outbox_.answered(Packet::kCommitQuestion);
        incoming->answer(
            {packet.commit().granted(), packet.commit().epoch(), packet.commit().token(), packet.commit().reason()});
      }
      if (id != 0) reply_done(id);
      return true;
    case Packet::kResolve:
      if (outgoing && packet.resolve().migration() == migration) {
        outbox_.answered(Packet::kResolveQuestion);
        outgoing->answer(
            {packet.resolve().committed(), packet.resolve().epoch(), packet.resolve().token(), "the store says so"});
      }
      if (id != 0) reply_done(id);
      return true;
    case Packet::kCancel:
      if (packet.cancel().migration() == migration) {
        if (outgoing) outgoing->cancel("the move was cancelled");
        if (incoming) incoming->cancel("the move was cancelled");
      }
      reply_done(id);
      return true;
    case Packet::kSignal:
      // A signal that meets a frozen unit could be lost with the source's copy: it waits for the move's end.
      if (outgoing && outgoing->frozen()) return false;
      reply(id, body_->signal_main(packet.signal().signal()));
      return true;
    case Packet::kKill: {
      {
        const std::scoped_lock lock(mutex_);
        killed_ = true;
      }
      body_->kill_all();
      reply_done(id);
      return true;
    }
    case Packet::kArm: reply(id, fault::arm(packet.arm().spec())); return true;
    case Packet::kShutdown: {
      std::unique_lock lock(mutex_);
      const bool here = phase_ != k::EMPTY && phase_ != k::ENDED && phase_ != k::GONE;
      if (!here) shutdown_ = true;
      lock.unlock();
      if (here) {
        reply_failure(id, {Code::kRefused, 0, "a unit is here"});
      } else {
        reply_done(id);
        wake();
      }
      return true;
    }
    default: return false;
  }
}

}  // namespace godwit::keeper
