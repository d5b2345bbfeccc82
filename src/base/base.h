// base: what every other module stands on. Errors as values, owned descriptors, system-call wrappers, log, clocks,
// fault points, kernel probes. Knows nothing of units, nodes or images.
#pragma once

#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/io.h"
#include "base/log.h"
#include "base/result.h"
#include "base/sys.h"
