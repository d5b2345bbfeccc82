// Jobs: made by a model, or read from a trace.
//
// THE MODEL. Lublin and Feitelson, "The Workload on Parallel Supercomputers: Modeling the Characteristics of Rigid Jobs", JPDC
// 63(11), 2003, fitted to logs of four machines; the numbers are those of their batch jobs.
//   * processes: one with probability 0.2927; else 2^x, x two-stage uniform between 1.2, log2 P - 2.5 and log2 P, the lower
//     stage with probability 0.875; x is rounded to a whole number with probability 0.6686 of all.
//   * run time: exp of a hyper-gamma, gamma(6.57, 0.823) with probability 0.6986 - 0.003 * processes, else
//     gamma(639.1, 0.0156); at most exp(12) seconds.
//   * arrivals: gaps exp(gamma(6.0415, 0.8531)), at most exp(13) seconds, at the rate of a day's cycle of 48 half hours whose
//     weights are gamma(6.1271, 5.2740), beginning at 5:30. A gap is used up at its half hour's weight: short by day.
// Left out: interactive jobs, and the correction of the gaps for the peak hours (their ARAR, 1.02), since `load` scales them.
// A process's memory isn't part of their model: it is log-normal here, sigma 1 about the median.
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "sched/random.h"
#include "sim/sim.h"

namespace godwit::sim {
namespace {

using sched::Random;

constexpr double kSerial = 0.2927, kPowers = 0.6686, kLow = 1.2, kLowStage = 0.875;
constexpr double kLongestRun = 12, kLongestGap = 13;
constexpr int kBuckets = 48, kDayBegins = 11;
constexpr double kBucketSeconds = 1800;

int processes(Random& r, int machine) {
  const double u = r.uniform();
  if (u <= kSerial || machine < 2) return 1;
  const double high = std::log2(machine), low = std::min(kLow, high), middle = std::clamp(high - 2.5, low, high);
  double x = r.chance(kLowStage) ? r.uniform(low, middle) : r.uniform(middle, high);
  if (u <= kSerial + kPowers) x = std::floor(x + 0.5);
  return std::clamp(static_cast<int>(std::floor(std::exp2(x) + 0.5)), 1, machine);
}

double run_time(Random& r, int count) {
  const double p = std::clamp(0.6986 - 0.003 * count, 0.0, 1.0);
  for (;;) {
    const double x = r.chance(p) ? r.gamma(6.57, 0.823) : r.gamma(639.1, 0.0156);
    if (x <= kLongestRun) return std::exp(x);
  }
}

/// Weights of the day's half hours, of mean 1: the gamma's density at each.
std::array<double, kBuckets> day() {
  constexpr double kShape = 6.1271, kScale = 5.2740;
  std::array<double, kBuckets> weights{};
  double sum = 0;
  for (int i = 0; i < kBuckets; ++i) {
    const double x = kDayBegins + i + 0.5;
    sum += weights[static_cast<size_t>((kDayBegins + i) % kBuckets)] = std::pow(x, kShape - 1) * std::exp(-x / kScale);
  }
  for (double& w : weights) w *= kBuckets / sum;
  return weights;
}

class Arrivals {
 public:
  double next(Random& r) {
    double gap = 0;
    do gap = r.gamma(6.0415, 0.8531);
    while (gap > kLongestGap);
    double left = std::exp(gap);
    for (;;) {
      const auto bucket = static_cast<size_t>(std::fmod(time_ / kBucketSeconds + kDayBegins, kBuckets));
      const double until = kBucketSeconds - std::fmod(time_, kBucketSeconds), weight = weights_[bucket];
      if (left < until * weight) return time_ += left / weight;
      left -= until * weight;
      time_ += until;
    }
  }

 private:
  double time_ = 0;
  const std::array<double, kBuckets> weights_ = day();
};

}  // namespace

std::vector<JobSpec> lublin_jobs(const Lublin& model) {
  Random random(model.seed);
  Arrivals arrivals;
  std::vector<JobSpec> jobs;
  double work = 0;
  for (size_t i = 1; i <= model.jobs; ++i) {
    JobSpec job;
    job.name = "j" + std::to_string(i);
    job.at = arrivals.next(random);
    job.processes = processes(random, model.machine);
    job.work = std::max(1.0, model.scale * run_time(random, job.processes));
    job.memory = std::clamp(model.memory * std::exp(random.normal()), 1e6, 20 * model.memory);
    job.dirty_rate = job.memory * random.uniform(0, 0.1);
    work += job.work * job.processes;
    jobs.push_back(job);
  }
  if (model.load > 0 && !jobs.empty() && model.capacity > 0) {
    const double stretch = work / (model.load * model.capacity) / std::max(1.0, jobs.back().at);
    for (auto& job : jobs) job.at *= stretch;
  }
  return jobs;
}

Result<std::vector<JobSpec>> parse_swf(const std::string& text, size_t most, double scale) {
  constexpr size_t kFields = 18;
  std::vector<JobSpec> jobs;
  std::istringstream in(text);
  size_t number = 0;
  double first = -1;
  for (std::string line; std::getline(in, line) && (most == 0 || jobs.size() < most);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos || line[line.find_first_not_of(" \t")] == ';') continue;
    std::istringstream words(line);
    std::vector<double> f;
    for (double value; f.size() < kFields && words >> value;) f.push_back(value);
    if (f.size() < 5) return fail(Code::kCorrupt, "line " + std::to_string(number) + " has no 5 numbers");
    f.resize(kFields, -1);
    // 2 submitted, 4 run time, 5 processors given, 7 memory used (KB a processor), 8 processors asked for.
    const double run = f[3], count = f[4] > 0 ? f[4] : f[7];
    if (!(run > 0) || !(count > 0) || count > 1e6 || !(f[1] >= 0)) continue;
    if (first < 0) first = f[1];
    JobSpec job;
    job.name = "j" + std::to_string(static_cast<long long>(std::clamp(f[0], -1e15, 1e15)));
    job.at = std::max(0.0, f[1] - first);
    job.processes = static_cast<int>(count);
    job.work = std::max(0.001, run * scale);
    if (f[6] > 0) job.memory = f[6] * 1024;
    jobs.push_back(job);
  }
  if (jobs.empty()) return fail(Code::kCorrupt, "the trace has no job that ran");
  return jobs;
}

std::string to_swf(const std::vector<JobSpec>& jobs) {
  std::ostringstream out;
  out << "; Version: 2.2\n; Computer: godwit sim\n; MaxJobs: " << jobs.size() << "\n";
  for (size_t i = 0; i < jobs.size(); ++i)
    out << i + 1 << ' ' << std::llround(jobs[i].at) << " -1 " << std::max(1LL, std::llround(jobs[i].work)) << ' '
        << jobs[i].processes << " -1 " << std::llround(jobs[i].memory / 1024) << ' ' << jobs[i].processes
        << " -1 -1 1 -1 -1 -1 -1 -1 -1 -1\n";
  return out.str();
}

}  // namespace godwit::sim
