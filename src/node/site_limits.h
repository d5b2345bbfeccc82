// How much other sites may ask of this node. Whoever speaks for a site that is trusted is known by name, but he isn't ours: he may
// be as many as he likes, and each question of his that isn't refused at once costs a process here.
//
// The own site has no limit: its controller decides what its nodes do.
//
// Threads: any.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace godwit::node {

struct SiteLimit {
  unsigned at_once = 8;
  double per_second = 2;
  double burst = 16;  ///< so many may come together after a rest
};

class SiteLimits {
 public:
  using Clock = std::chrono::steady_clock;
  explicit SiteLimits(SiteLimit limit = {}, std::function<Clock::time_point()> now = Clock::now)
      : state_(std::make_shared<State>()), limit_(limit), now_(std::move(now)) {}

  /// One thing that is done for a site; it counts until it is destroyed.
  class Ticket {
   public:
    explicit Ticket(std::function<void()> back) : back_(std::move(back)) {}
    Ticket(Ticket&& other) noexcept : back_(std::exchange(other.back_, {})) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() {
      if (back_) back_();
    }

   private:
    std::function<void()> back_;
  };
  /// Nothing when the site has had enough. `site` is empty for the own one.
  std::optional<Ticket> take(const std::string& site);

 private:
  struct Site {
    unsigned open = 0;
    double tokens = 0;
    Clock::time_point at;
  };
  struct State {
    std::mutex mutex;
    std::map<std::string, Site> sites;  ///< at most as many as are trusted
  };
  const std::shared_ptr<State> state_;  // tickets may outlive their table
  const SiteLimit limit_;
  const std::function<Clock::time_point()> now_;
};

}  // namespace godwit::node
