// What libc++ needs of the kernel's header: musl doesn't have those.
#pragma once

#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
