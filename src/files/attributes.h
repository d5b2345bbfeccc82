// Metadata beside content: extended attributes, owner, mode, times: reading them, and setting what differs.
#pragma once

#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "files/recipe.h"

namespace godwit::files {

/// Which extended attributes travel: the user's own, access lists, file capabilities, and an overlay layer's mark that
/// a directory hides what is below it. Others (security labels, an overlay's file handles) mean something on one host
/// only.
bool attribute_travels(std::string_view name);

/// The travelling attributes of an object that is open (O_PATH is enough), sorted. A file system without any gives
/// none.
Result<std::vector<Attribute>> read_attributes(const Fd& object);

struct MetadataOptions {
  bool keep_owner = true;  ///< failing to set uid or gid is an error; else it stays the caller's (an ordinary user)
};
/// Makes owner, attributes, mode and mtime of the open object (O_PATH is enough) as the recipe says, in that order:
/// chown clears set-id bits and file capabilities. Touches only what differs. Not for hard-link recipes.
Result<void> set_metadata(const Fd& object, const Recipe& recipe, const MetadataOptions& options);

}  // namespace godwit::files
