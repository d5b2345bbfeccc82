// Shadow frames: what each function of a thread needs to go on, pushed from the innermost call outwards.
//
// They lie in chunks in the arena, taken when the first frame is pushed, each twice as large as the one before: a save of a
// deep recursion costs few system calls, and a thread that is never saved costs nothing. A chunk begins with its links;
// behind each frame, 16 bytes hold its size, so that frames can be popped without the pass knowing how they lie.
//
// __godwit_pop returns an address whose content must stay until the function has read it, so a chunk that has become empty
// isn't given back at once. All go when the thread runs again: by then every function has read its frame.
#include <asm/mman.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

struct Chunk {
  Le<uint64_t> size;  ///< of the mapping
  Le<uint64_t> used;  ///< bytes of it, this structure included
  Le<uint64_t> previous;  ///< the chunk before
  Le<uint64_t> empty;  ///< a chunk that was popped empty: given back later
};

constexpr uint64_t kFirstChunk = 65536;
constexpr uint64_t kLargestStep = UINT64_C(64) << 20;
constexpr uint64_t kTrailer = 16;

Chunk* chunk_at(uint64_t address) { return reinterpret_cast<Chunk*>(address); }

Chunk* add_chunk(Thread& thread, uint64_t least) {
  uint64_t size = kFirstChunk;
  if (thread.shadow) size = chunk_at(thread.shadow)->size * 2;
  if (size > kLargestStep) size = kLargestStep;
  if (size < least + sizeof(Chunk)) size = page_up(least + sizeof(Chunk));
  const uint64_t address = arena_take(size, PROT_READ | PROT_WRITE, GODWIT_REGION_SHADOW);
  if (!address) fatal("no room in the arena for the frames of thread ", thread.number);
  Chunk* chunk = chunk_at(address);
  *chunk = {size, sizeof(Chunk), thread.shadow, 0};
  thread.shadow = address;
  return chunk;
}

void give_empty(Chunk* chunk) {
  while (chunk->empty) {
    Chunk* empty = chunk_at(chunk->empty);
    chunk->empty = empty->empty;
    arena_give(reinterpret_cast<uint64_t>(empty), empty->size);
  }
}

}  // namespace

void release_frames() {
  Thread& thread = current();
  if (!thread.shadow) return;
  Chunk* chunk = chunk_at(thread.shadow);
  if (chunk->used != sizeof(Chunk) || chunk->previous) fatal("frames are left over in thread ", thread.number);
  give_empty(chunk);
  arena_give(thread.shadow, chunk->size);
  thread.shadow = 0;
}

}  // namespace godwit::portable

extern "C" void* __godwit_push(uint64_t size) {
  using namespace godwit::portable;
  Thread& thread = current();
  Chunk* chunk = thread.shadow ? chunk_at(thread.shadow) : nullptr;
  if (!chunk || chunk->size - chunk->used < size + kTrailer) chunk = add_chunk(thread, size + kTrailer);
  char* frame = reinterpret_cast<char*>(chunk) + chunk->used;
  *reinterpret_cast<Le<uint64_t>*>(frame + size) = size;
  chunk->used += size + kTrailer;
  return frame;
}

extern "C" void* __godwit_save(uint64_t size, uint64_t site) {
  void* frame = __godwit_push(size);
  *static_cast<uint64_t*>(frame) = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? site : __builtin_bswap64(site);
  return frame;
}

extern "C" void* __godwit_pop(void) {
  using namespace godwit::portable;
  Thread& thread = current();
  Chunk* chunk = thread.shadow ? chunk_at(thread.shadow) : nullptr;
  if (chunk && chunk->used == sizeof(Chunk) && chunk->previous) {
    Chunk* previous = chunk_at(chunk->previous);
    previous->empty = thread.shadow;
    thread.shadow = chunk->previous;
    chunk = previous;
  }
  if (!chunk || chunk->used == sizeof(Chunk)) fatal("thread ", thread.number, " has no frame left to go on from");
  const uint64_t size = *reinterpret_cast<Le<uint64_t>*>(reinterpret_cast<char*>(chunk) + chunk->used - kTrailer);
  if (size > chunk->used - sizeof(Chunk) - kTrailer) fatal("a frame of thread ", thread.number, " is damaged");
  chunk->used -= size + kTrailer;
  return reinterpret_cast<char*>(chunk) + chunk->used;
}
