// Sections: what modules other than the engine keep in an image. The image module carries them and knows no more than
// these rows. To add one: a row here, its schema in the owner's .proto, a line in docs/formats/image.md ("Sections").
// A section written with `required` makes readers without the row refuse the image; so a row is never removed.
#include "image/sections.h"

#include <algorithm>

namespace godwit::image {
namespace {

constexpr SectionKind kKinds[] = {
    {"files.trees", "files", "directories that travel with the unit: its work directory, layers of its view", false},
    {"files.recipes", "files", "programs, libraries and data that the unit uses, by content", false},
    {"files.output", "files", "what the unit has written to its standard output and error", false},
    {"files.view", "files", "how the unit sees its file system", false},
    {"files.open", "files", "content of open files that have no name any more", false},
    {"unit.keeper", "migration", "the unit's identity, epoch and options at its keeper", false},
    {"unit.spec", "node", "what the user asked for", true},
    {"migration.report", "migration", "timing of the checkpoint", true},
    {"delegation", "delegation", "who allowed this unit to go where, and where it has been", false},
};

}  // namespace

std::span<const SectionKind> section_kinds() { return kKinds; }

const SectionKind* find_section_kind(std::string_view name) {
  const auto* it = std::ranges::find(kKinds, name, &SectionKind::name);
  return it == std::end(kKinds) ? nullptr : it;
}

}  // namespace godwit::image
