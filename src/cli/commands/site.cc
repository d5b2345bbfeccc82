// Sites: an authority of one's own, and which others a daemon trusts.
#include <fmt/format.h>

#include "base/base.h"
#include "base/pki.h"
#include "base/sites.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

constexpr size_t kCertificateLimit = 64u << 10;

/// The directory of one daemon; an embedded grid has several.
Result<std::string> daemon_dir(const Context& context) {
  if (sys::lstat(context.state_dir + "/grid.json"))
    return fail(Code::kUsage, fmt::format("{0} is a whole grid; name one of its daemons: --state {0}/controller, or "
                                          "{0}/nodes/NAME",
                                          context.state_dir));
  if (!sys::lstat(context.state_dir + "/ca.crt"))
    return fail(Code::kUsage, fmt::format("{0} is no daemon's directory of a site: name one by --state, or make a site "
                                          "there: godwit site init NAME --state {0}",
                                          context.state_dir));
  return context.state_dir;
}

int run_init(Context& context, const Parsed& parsed) {
  const std::string& dir = context.state_dir;
  const std::string name = parsed.argument(0);
  std::vector<std::string> hosts = parsed.all("--host");
  const std::string first = hosts.empty() ? "localhost" : hosts.front();
  if (hosts.empty()) hosts.push_back(first);
  if (auto made = pki::make_site(dir, name, hosts); !made) return context.report(made.error());
  const std::string client =
      fmt::format("{{\n  \"controller\": \"{}:7400\",\n  \"identity\": \"client\",\n  \"version\": 1\n}}\n", first);
  if (auto written = io::replace_file(dir + "/client.json", client); !written) return context.report(written.error());
  OR_REPORT(const std::string certificate, io::read_file(dir + "/ca.crt", kCertificateLimit));
  OR_REPORT(const auto facts, pki::inspect(certificate));
  if (context.json)
    context.print(object_json({{"site", name}, {"certificate", dir + "/ca.crt"}, {"digest", facts.digest}}));
  else
    context.print(
        fmt::format("site {}\n  certificate {}/ca.crt (give it to sites that are to trust this one)\n  digest {}\n"
                    "Serve it: godwit controller --state {}\n",
                    name, dir, facts.digest, dir));
  return kDone;
}

int run_trust(Context& context, const Parsed& parsed) {
  OR_REPORT(const std::string dir, daemon_dir(context));
  const std::string path = parsed.argument(1);
  OR_REPORT(const std::string certificate, read_named_file(path, kCertificateLimit));
  if (!pki::inspect(certificate))
    return context.report(Error{
        Code::kUsage, 0,
        fmt::format("{} holds no certificate; wanted is the ca.crt of site {}, a text that begins with -----BEGIN "
                    "CERTIFICATE-----: ask its operator for the file that godwit site init wrote there",
                    path, parsed.argument(0))});
  if (auto done = pki::trust_site(dir, parsed.argument(0), certificate); !done) return context.report(done.error());
  return kDone;
}

int run_distrust(Context& context, const Parsed& parsed) {
  OR_REPORT(const std::string dir, daemon_dir(context));
  if (auto done = pki::distrust_site(dir, parsed.argument(0)); !done) return context.report(done.error());
  return kDone;
}

int run_show(Context& context, const Parsed&) {
  OR_REPORT(const std::string dir, daemon_dir(context));
  OR_REPORT(const auto sites, pki::Sites::load(dir));
  std::string out = fmt::format("{} (this one)\n", sites.own());
  std::string trusted;
  for (const auto& name : sites.trusted()) {
    OR_REPORT(const std::string certificate, sites.authority(name));
    OR_REPORT(const auto facts, pki::inspect(certificate));
    out += fmt::format("{}  {}\n", name, facts.digest);
    trusted += (trusted.empty() ? "" : " ") + name;
  }
  context.print(context.json ? object_json({{"site", sites.own()}, {"trusts", trusted}}) : out);
  return kDone;
}

constexpr std::string_view kWhose =
    "--state is the directory of one daemon, a controller or a node: trust is each daemon's own, and a unit crosses "
    "only where "
    "both ends have the other's site. Daemons that run read it when they are started; moves look each time.";

}  // namespace

const Command kSiteInit = {
    .name = "site init",
    .group = "daemons",
    .summary = "make a site: an authority of one's own, and its controller's identity",
    .arguments = {{"NAME", "of the site"}},
    .options = {{"--host", "", "HOST", "a name or address of the controller; the first is what clients use",
                 Words::kNone, true}},
    .details =
        "Writes ca.key and ca.crt (the site), controller.key and .crt, client.key, .crt and client.json into --state. "
        "Keys are "
        "for their owner only (mode 0600) and never leave this host; nothing that is there is overwritten. Machines "
        "become nodes "
        "of the site by godwit token create and godwit node join.",
    .examples = "  godwit site init away --host grid.away.org --state /var/lib/godwit/away",
    .json = true,
    .run = run_init};

const Command kSiteTrust = {.name = "site trust",
                            .group = "daemons",
                            .summary = "trust another site, by its certificate",
                            .arguments = {{"NAME", "of that site"}, {"CERT", "its ca.crt", Words::kFile}},
                            .details = kWhose,
                            .examples = "  godwit site trust away away.crt --state /var/lib/godwit/controller",
                            .run = run_trust};

const Command kSiteDrop = {.name = "site distrust",
                           .group = "daemons",
                           .summary = "trust a site no longer",
                           .arguments = {{"NAME", "of that site"}},
                           .details = kWhose,
                           .examples = "  godwit site distrust away --state /var/lib/godwit/controller",
                           .run = run_distrust};

const Command kSiteShow = {.name = "site show",
                           .group = "daemons",
                           .summary = "a daemon's own site, and those that it trusts",
                           .details = kWhose,
                           .examples = "  godwit site show --state /var/lib/godwit/controller",
                           .json = true,
                           .run = run_show};

}  // namespace godwit::cli
