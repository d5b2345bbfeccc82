#include "cli/command.h"
#include "cli/context.h"
#include "cli/parse.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const long minutes, number(parsed, "--minutes", 1, 10080, 60));
  OR_REPORT(auto* controller, context.controller());
  wire::TokenRequest request;
  request.set_node(parsed.get("--name"));
  request.set_lifetime_s(static_cast<uint32_t>(minutes * 60));
  wire::TokenReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->CreateToken(&call, request, &reply); !status.ok()) return context.report(status);
  // The digest travels with the token, so that the joining machine knows whom it may believe.
  const std::string token = reply.token() + "." + reply.ca_digest();
  context.print(context.json ? object_json({{"token", token}}) : token + "\n");
  return kDone;
}

}  // namespace

const Command kTokenCreate = {.name = "token create",
                              .group = "nodes",
                              .summary = "make a token with which one machine may join",
                              .options = {{"--name", "-n", "NAME", "only for a node of this name"},
                                          {"--minutes", "", "N", "how long it is good for; 60 when left out"}},
                              .details =
                                  "The token is good once. It also names the grid's authority, so that the joining "
                                  "machine can't be led to another grid.",
                              .examples = "  godwit token create --name node-9",
                              .json = true,
                              .run = run};

}  // namespace godwit::cli
