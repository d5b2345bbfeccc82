#include "link/keeper_args.h"  // first, so that the header proves self-contained

#include <string_view>
#include <utility>

namespace godwit::link {
namespace {

// To add an option: a row here, a member in KeeperArgs.
struct Option {
  std::string_view name;
  std::string KeeperArgs::* member;
  bool required;
};
constexpr Option kOptions[] = {
    {"--unit", &KeeperArgs::unit, true}, {"--dir", &KeeperArgs::dir, true},    {"--state", &KeeperArgs::state, true},
    {"--node", &KeeperArgs::node, true}, {"--root", &KeeperArgs::root, false}, {"--arch", &KeeperArgs::arch, false},
};

}  // namespace

std::vector<std::string> to_arguments(const KeeperArgs& args) {
  std::vector<std::string> out;
  for (const auto& o : kOptions) {
    if ((args.*o.member).empty()) continue;
    out.emplace_back(o.name);
    out.push_back(args.*o.member);
  }
  return out;
}

Result<KeeperArgs> parse_keeper_args(int argc, const char* const* argv) {
  KeeperArgs args;
  for (int i = 1; i < argc; i += 2) {
    const Option* found = nullptr;
    for (const auto& o : kOptions) {
      if (o.name == argv[i]) found = &o;
    }
    if (found == nullptr) return fail(Code::kUsage, std::string("unknown option ") + argv[i]);
    if (i + 1 == argc) return fail(Code::kUsage, std::string("no value for ") + argv[i]);
    args.*found->member = argv[i + 1];
  }
  for (const auto& o : kOptions) {
    if (o.required && (args.*o.member).empty()) return fail(Code::kUsage, "missing option " + std::string(o.name));
  }
  return args;
}

}  // namespace godwit::link
