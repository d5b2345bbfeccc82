#include "migration/arrivals.h"

#include "base/base.h"
#include "link/link.h"

namespace godwit::migration {

void Arrivals::add(uint32_t index, Fd socket) {
  const std::scoped_lock lock(mutex_);
  if (closed_ || greeters_.size() >= 4 * link::kMaxStreams) return;  // dropped: nobody waits for it
  greeters_.emplace_back([this, index, s = std::move(socket)]() mutable {
    if (auto r = admit(index, std::move(s)); !r) {
      log::warn("move {}: stream {} dropped: {}", plan_.migration, index, r.error().message());
    }
  });
}

Result<void> Arrivals::admit(uint32_t index, Fd socket) {
  const Nanos patience = plan_.patience.handshake;
  TRY(auto s, TlsStream::handshake(std::move(socket), tls_, pki::Side::kServer, plan_.peer, patience));
  TRY_DO(check_token(*s, plan_.token, patience));
  {
    const std::scoped_lock lock(mutex_);
    if (index >= link::kMaxStreams || !arrived_.try_emplace(index, std::move(s)).second) {
      return fail(Code::kPeer, "a stream of this number is there already");
    }
  }
  Event e;
  e.kind = Event::Kind::kStream;
  mailbox_.put(std::move(e));
  return {};
}

std::unique_ptr<TlsStream> Arrivals::take_control() {
  const std::scoped_lock lock(mutex_);
  const auto it = arrived_.find(0);
  return it == arrived_.end() ? nullptr : std::move(it->second);  // its number stays taken
}

std::vector<std::unique_ptr<TlsStream>> Arrivals::take_data(uint32_t count) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::unique_ptr<TlsStream>> data;
  for (uint32_t i = 1; i <= count; i++) {
    if (!arrived_.contains(i)) return {};
  }
  closed_ = true;  // none but these
  for (uint32_t i = 1; i <= count; i++) data.push_back(std::move(arrived_[i]));
  return data;
}

void Arrivals::close() {
  std::vector<std::jthread> greeters;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    greeters.swap(greeters_);
  }
  greeters.clear();  // joins; each is bounded by the handshake's patience
}

}  // namespace godwit::migration
