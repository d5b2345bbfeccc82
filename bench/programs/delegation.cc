// Cost of delegation at a handover after 1, 10, 100 and 1000 hops: CSV, one row a count. What each column is: ../README.md.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "delegation/testing.h"

using namespace godwit::delegation;
using testing::kNow;
using testing::World;

namespace {

struct Spread {
  double median = 0, low = 0, high = 0;
};

/// Microseconds a call: median, and the tenth and ninetieth of a hundred.
Spread measure(int runs, const std::function<void()>& call) {
  std::vector<double> all;
  for (int i = 0; i < runs + 3; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    if (i >= 3) all.push_back(took.count());  // the first ones warm caches
  }
  std::ranges::sort(all);
  return {all[all.size() / 2], all[all.size() / 10], all[all.size() * 9 / 10]};
}

std::string cell(const Spread& s) { return fmt::format("{:.0f},{:.0f},{:.0f}", s.median, s.low, s.high); }

void row(size_t hops, int runs) {
  Grants grants = testing::wide_grants();
  grants.handovers = 5000;
  World world(grants);
  world.start();
  world.hops(hops);
  const std::string to = "home/node-3";
  const Offer offer = world.offer();
  const Question question = world.question(to);
  const Entry entry = world.next(to);
  const PrivateKey source = testing::key_of(entry.source);
  const PrivateKey destination = testing::key_of(to);
  const std::string sent = testing::sure(entry.sign(source)).encode();
  const Admission admission = testing::sure(admit(offer, question, world.trust));
  const SignedEntry cosigned = testing::sure(read_entry(World::cosigned(entry).encode(), 2));
  const auto admitting = measure(runs, [&] { testing::sure(admit(offer, question, world.trust)); });
  const auto signing = measure(runs, [&] { testing::sure(entry.sign(source)); });
  const auto accepting = measure(runs, [&] {
    SignedEntry e =
        testing::sure(accept(admission, sent, {to, entry.epoch, entry.state, entry.nonce}, world.trust, kNow));
    e.envelope.sign(destination);
  });
  const auto appending = measure(runs, [&] { testing::sure(append(world.state, {}, cosigned, world.trust, kNow)); });
  const auto auditing = measure(std::max(3, runs / 100), [&] {
    const auto good = audit(world.authority(), world.entries, world.state.head, world.trust);
    if (!good) std::abort();
  });
  const size_t bytes = offer.document.size() + offer.head.size() + offer.last.size();
  fmt::print("{},{},{},{},{},{},{},{}\n", hops, runs, bytes, cell(admitting), cell(signing), cell(accepting),
             cell(appending), cell(auditing));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::atoi(argv[1]) : 200;
  fmt::print("hops,runs,offer_bytes");
  for (const char* what : {"admit", "sign", "accept", "append", "audit"})
    fmt::print(",{0}_us,{0}_us_p10,{0}_us_p90", what);
  fmt::print("\n");
  for (const size_t hops : {1u, 10u, 100u, 1000u}) row(hops, std::max(runs, 1));
}
