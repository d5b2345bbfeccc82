// files: file content that travels with a unit. Directory snapshots and their differences, recipes of single files and
// what of them a destination has, the unit's view of the file system, and the proof that two machines share a
// directory. Knows nothing of networks: what crosses one is a plain value (wire.h), chunks come and go by ChunkSource
// and ChunkSink.
//
// Rules for all of it:
//   * whatever came from a peer or an image is checked (check_tree, check_recipe, …) before anything is made from it;
//   * no name is opened but through beneath.h, so no name leads out of the directory it belongs to;
//   * nothing that is in the way of a move is an Error: it is an engine::Blocker, and all of them are collected.
// Threads: hashing uses two; everything else is one call, one thread. Objects aren't shared between threads, except
// ChunkSource and ChunkSink.
// The tour: docs/design/files.md.
#pragma once

#include "files/chunk.h"
#include "files/demand.h"
#include "files/hash.h"
#include "files/own_directories.h"
#include "files/recipe.h"
#include "files/refusals.h"
#include "files/share_probe.h"
#include "files/travel.h"
#include "files/tree.h"
#include "files/view.h"
#include "files/wire.h"
