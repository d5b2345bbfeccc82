// Until module pod has its face (src/pod/pod.h) these say so by name.
#include "cli/local.h"

namespace godwit::cli {
namespace {
int not_built(Context& context) {
  return context.report(Error{Code::kRefused, 0, "this build has no engine for processes outside a grid"});
}
}  // namespace

int check_pid(Context& context, const Parsed&) { return not_built(context); }
int checkpoint_pid(Context& context, const Parsed&) { return not_built(context); }
int restore_directory(Context& context, const Parsed&) { return not_built(context); }

}  // namespace godwit::cli
