// cr: shared anonymous memory of a parent and its children, mapped at other addresses and in parts
#include <sys/mman.h>

#include "util/step.h"

static constexpr size_t kSize = 4 << 20;

struct Control {
  volatile int turn, done;
};

int main() {
  auto* shared =
      static_cast<uint32_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  auto* control = static_cast<Control*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  auto* own = static_cast<uint32_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  own[0] = 1000;
  pid_t children[3];
  for (int c = 0; c < 3; c++) {
    children[c] = spawn([&] {
      // Each child maps it elsewhere; the third only half of it.
      size_t size = c == 2 ? kSize / 2 : kSize;
      auto* view = static_cast<uint32_t*>(mremap(shared, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                                                 mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
      CHECK(view != MAP_FAILED);
      own[0] = static_cast<uint32_t>(c);  // its own copy
      for (int i = 1; i <= steps(); i++) {
        wait_until(&control->turn, i);
        for (size_t n = static_cast<size_t>(c); n < size / 4; n += 3)
          view[n] = view[n] * 5 + static_cast<uint32_t>(i + c);
        CHECK_EQ(own[0]++, c + i - 1);
        add(&control->done);
      }
      return 0;
    });
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&control->turn);
    step();
    wait_until(&control->done, 3 * (i + 1));
    mix(shared, kSize);
    note("round %d: %08x %08x", i, shared[i], shared[kSize / 4 - 1]);
    CHECK_EQ(own[0], 1000 + i);
    own[0]++;
  }
  for (pid_t child : children) CHECK_EQ(reap(child), 0);
  finish();
}
