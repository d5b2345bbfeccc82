#include "engine/engine.h"  // first, so that the header proves self-contained
