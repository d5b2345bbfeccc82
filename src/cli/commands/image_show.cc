#include "image/image.h"

#include "cli/command.h"
#include "cli/context.h"
#include "pod/pod.h"
#include "portable/engine/engine.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const auto image, image::ImageReader::open(parsed.argument(0)));
  if (parsed.has("--verify"))
    if (auto sound = image->verify(); !sound) return context.report(sound.error().in(parsed.argument(0)));
  image::JsonOptions options;
  options.runs = parsed.has("--runs");
  options.engines = {{"pod",
                      [](std::string_view part, const std::string& bytes) {
                        return part == "state" ? pod::state_to_json(bytes).value_or("") : std::string();
                      }},
                     {"portable", [](std::string_view part, const std::string& bytes) {
                        return portable::to_json(part, bytes).value_or("");
                      }}};
  context.print(image::to_json(image->manifest(), options) + "\n");
  return kDone;
}

}  // namespace

const Command kImageShow = {.name = "image show",
                            .group = "moving",
                            .summary = "what is in an image, as JSON",
                            .arguments = {{"FILE", "an image file or directory", Words::kFile}},
                            .options = {{"--verify", "", "", "read all of it and compare every checksum"},
                                        {"--runs", "", "", "with every run of pages"}},
                            .details =
                                "Prints the manifest: whose image it is, what a destination must have, its memory and "
                                "files. A damaged or foreign file is refused (status 3) and says why.",
                            .examples = "  godwit image show sim.godwit\n  godwit image show --verify /tmp/image",
                            .json = true,
                            .run = run};

}  // namespace godwit::cli
