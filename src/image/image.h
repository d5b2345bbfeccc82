// image: captured state at rest.
//
// An image is a manifest (who, when, the engine's messages, the table of memory) and the bytes of memory and files.
// Those lie in packs beside it (a directory, or one file) or, content-addressed, in a chunk store that all checkpoints
// of a machine share. ImageWriter is the engine::PageSink that makes one; ImageReader gives one back to an
// engine::PageWriter, whatever its form. This module knows no engine: their messages are bytes to it.
//
// Hostile input: every length is checked before memory is taken for it; what isn't right is Code::kCorrupt, an image of
// a newer format Code::kRefused, and nothing unchecked is handed on. The format: docs/formats/image.md.
#pragma once

#include "image/digest.h"
#include "image/history.h"
#include "image/json.h"
#include "image/kept.h"
#include "image/limits.h"
#include "image/manifest.h"
#include "image/reader.h"
#include "image/store.h"
#include "image/writer.h"
