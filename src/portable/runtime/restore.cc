// Reads an image and rebuilds the unit, all but its threads, which start when everything is in place.
//
// The stream is hostile until its last record has been checked: each length is compared with its limit before room is taken
// or bytes are put anywhere, addresses must lie in the program's data, the arena's header or a region that was announced, in
// ascending order, and nothing of the unit runs, no file is opened and no descriptor closed before END has confirmed
// the whole. With GODWIT_RESTORE_COMMIT_FD, a socket, the runtime then says "restored\n" there and waits for one byte: the migration
// protocol's commit lies between, so that all that can fail here has been tried while the source still holds the unit. An
// image that comes without memory is for a program that waits for both (arrive.cc).
//
// Checksums find accidents. They can't make an image trustworthy: who controls a program's memory controls the
// program, so it is for the one who restores to know where an image comes from.
#include <asm/errno.h>
#include <asm/mman.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "portable/runtime/hash.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

Region announced[kMaxRegions];
uint32_t announced_count;
char cwd[GODWIT_IMAGE_PATH_MAX + 1];
godwit_image_process process;
char* descriptors;  // their payloads, one after the other, each at a multiple of 8
uint64_t descriptors_used;
long messages = -1;

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  Text<512> line;
  (void)((line << "image refused: ") << ... << parts);
  end_with(line, GODWIT_EXIT_REFUSED);
}

void read_exactly(int fd, void* to, uint64_t length, const char* what) {
  auto* at = static_cast<char*>(to);
  while (length) {
    const long got = sys(__NR_read, fd, at, length);
    if (got == -EINTR) continue;
    if (failed(got)) refuse("can't be read: error ", -got);
    if (got == 0) refuse("it ends too early, in ", what);
    at += got;
    length -= static_cast<uint64_t>(got);
  }
}

uint64_t read_header(int fd) {
  godwit_image_header head;
  read_exactly(fd, &head, sizeof head, "its header");
  if (memcmp(head.magic, GODWIT_IMAGE_MAGIC, sizeof head.magic)) refuse("it isn't an image of a portable program");
  if (head.version != GODWIT_IMAGE_VERSION) {
    refuse("its version is ", head.version, ", this program reads ", GODWIT_IMAGE_VERSION);
  }
  if (head.bytes != sizeof head || head.digest != xxh64(&head, offsetof(godwit_image_header, digest), 0)) {
    refuse("its header is damaged");
  }
  if (memcmp(head.family, godwit_program.family, sizeof head.family)) {
    Text<64> theirs, ours;
    theirs.add_bytes(head.family, sizeof head.family);
    ours.add_bytes(godwit_program.family, sizeof godwit_program.family);
    refuse("its family is ", theirs.text(), ", this program's is ", ours.text());
  }
  if (memcmp(head.signature, godwit_program.signature, sizeof head.signature)) {
    Text<80> name;
    name.add_bytes(head.name, sizeof head.name);
    refuse("it was written by another program or another build: ", name.text());
  }
  if (head.data_start != godwit_program.data_start || head.data_end != godwit_program.data_end ||
      head.arena != godwit_program.arena || head.arena_size != godwit_program.arena_size) {
    refuse("its addresses aren't this program's");
  }
  return head.digest;
}

void check_payload(const godwit_image_record& record, const void* payload, const char* what) {
  if (xxh64(payload, record.length, 0) != record.digest) refuse("the checksum of ", what, " is wrong");
}

void read_process(int fd, const godwit_image_record& record) {
  if (record.length != sizeof process) refuse("its process record has ", record.length, " bytes");
  read_exactly(fd, &process, sizeof process, "its process record");
  check_payload(record, &process, "its process record");
  if (process.flags != (arrives() ? GODWIT_IMAGE_APART : 0)) {
    refuse(arrives() ? "its memory came already" : "its memory isn't in it");
  }
}

void read_cwd(int fd, const godwit_image_record& record) {
  if (!record.length || record.length > GODWIT_IMAGE_PATH_MAX) refuse("its working directory's name is too long");
  read_exactly(fd, cwd, record.length, "its working directory");
  check_payload(record, cwd, "its working directory");
  cwd[record.length] = 0;
}

void read_descriptor(int fd, const godwit_image_record& record) {
  constexpr uint64_t least = sizeof(godwit_image_descriptor);
  if (record.length < least || record.length > least + GODWIT_IMAGE_UNREAD_MAX) {
    refuse("a descriptor's record has ", record.length, " bytes");
  }
  if (!descriptors) {
    const int64_t room =
        sys_mmap(nullptr, kDescriptorRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    if (failed(room)) refuse("there is no memory to read it");
    descriptors = as_pointer<char*>(static_cast<uint64_t>(room));
  }
  if (kDescriptorRoom - descriptors_used < record.length + 8) refuse("it has too many descriptors");
  char* at = descriptors + descriptors_used;
  read_exactly(fd, at, record.length, "a descriptor");
  check_payload(record, at, "a descriptor");
  const auto& descriptor = *reinterpret_cast<const godwit_image_descriptor*>(at);
  if (descriptor.detail_size != record.length - least || descriptor.fd > GODWIT_IMAGE_FD_MAX ||
      !detail_is_sound(descriptor, at + least)) {
    refuse("a descriptor's record makes no sense");
  }
  descriptors_used += described_size(descriptor);  // a path's zero is there: the room was never written
}

void read_regions(int fd, const godwit_image_record& record) {
  if (record.length % sizeof(Region) || record.length / sizeof(Region) > kMaxRegions) {
    refuse("its list of regions has ", record.length, " bytes");
  }
  announced_count = static_cast<uint32_t>(record.length / sizeof(Region));
  read_exactly(fd, announced, record.length, "its list of regions");
  check_payload(record, announced, "its list of regions");
  if (!arena_rows_are_sound(announced, announced_count)) refuse("its list of regions makes no sense");
  if (!arrives()) map_header();
  if (!arena_map_again(announced, announced_count)) refuse("its regions can't be mapped here");
}

/// The end of what holds `address`: the data, the arena's header, a region. 0: nothing does.
uint64_t area_end(uint64_t address) {
  if (address < godwit_program.arena) {
    return address >= godwit_program.data_start && address < godwit_program.data_end ? +godwit_program.data_end : 0;
  }
  if (address < godwit_program.arena + kHeaderSize) return godwit_program.arena + kHeaderSize;
  uint32_t low = 0, high = announced_count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (announced[middle].start + announced[middle].length <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < announced_count && announced[low].start <= address ? announced[low].start + announced[low].length : 0;
}

/// Data that the image leaves out was zero, and isn't in a program that has just been loaded.
void clear_data(uint64_t start, uint64_t end) {
  if (end > godwit_program.data_end) end = godwit_program.data_end;
  if (start < end) memset(reinterpret_cast<void*>(start), 0, end - start);
}

/// Returns where the next record may begin.
uint64_t read_memory(int fd, const godwit_image_record& record, uint64_t from) {
  const uint64_t end = area_end(record.address);
  if (record.address < from || !record.length || record.length > GODWIT_IMAGE_MEMORY_MAX || !end ||
      record.length > end - record.address) {
    refuse("its memory has ", record.length, " bytes at ", Hex{record.address}, ", which makes no sense");
  }
  clear_data(from, record.address);
  void* target = as_pointer<void*>(record.address);
  read_exactly(fd, target, record.length, "its memory");
  check_payload(record, target, "its memory");
  return record.address + record.length;
}

/// Reads records up to END, and checks that they are whole and in order.
void read_records(int fd, uint64_t chain) {
  uint32_t last = 0;
  uint64_t count = 0, from = godwit_program.data_start;
  for (;; ++count) {
    godwit_image_record record;
    read_exactly(fd, &record, sizeof record, "the records");
    const bool repeats = record.type == GODWIT_IMAGE_DESCRIPTOR || record.type == GODWIT_IMAGE_MEMORY;
    // All but DESCRIPTOR and MEMORY come exactly once.
    const uint32_t earliest = last == GODWIT_IMAGE_CWD || last == GODWIT_IMAGE_REGIONS ? last + 2 : last + 1;
    if (record.flags || (record.type != last + 1 && record.type != earliest && !(repeats && record.type == last))) {
      refuse("record ", count, " of type ", record.type, " is out of order");
    }
    if (record.type == GODWIT_IMAGE_END) {
      if (record.address != count || record.length || record.digest != chain) refuse("its end doesn't confirm it");
      break;
    }
    if (record.type != GODWIT_IMAGE_MEMORY && record.address) refuse("record ", count, " makes no sense");
    last = record.type;
    chain = xxh64(&record, sizeof record, chain);
    switch (record.type) {
      case GODWIT_IMAGE_PROCESS: read_process(fd, record); break;
      case GODWIT_IMAGE_CWD: read_cwd(fd, record); break;
      case GODWIT_IMAGE_DESCRIPTOR: read_descriptor(fd, record); break;
      case GODWIT_IMAGE_REGIONS: read_regions(fd, record); break;
      default:
        if (arrives()) refuse("its memory came already");
        from = read_memory(fd, record, from);
    }
  }
  if (!arrives()) clear_data(from, godwit_program.data_end);
}

void add_region(Line& line, const Region& region) {
  line << +region.length << " bytes at " << Hex{region.start} << ", protection " << +region.protection << ", kind "
       << +region.kind;
}

/// The arena's own table of regions must be the announced one.
void check_regions() {
  const Header& head = header();
  if (memcmp(head.head.magic, GODWIT_ARENA_MAGIC, sizeof head.head.magic)) refuse("the arena's header isn't there");
  if (head.regions_used != announced_count) {
    refuse("the arena's own table has ", +head.regions_used, " regions, announced were ", announced_count);
  }
  for (uint32_t i = 0; i < announced_count; ++i) {
    if (!memcmp(&head.regions[i], &announced[i], sizeof(Region))) continue;
    Text<120> own, other;
    add_region(own, head.regions[i]);
    add_region(other, announced[i]);
    refuse("region ", i, " of the arena's own table is ", own.text(), "; announced was ", other.text());
  }
}

void check_tables() {
  check_regions();
  const Header& head = header();
  for (const Thread& thread : head.threads) {
    if (!thread.number || thread.ended) continue;
    if (!thread.shadow || !area_end(thread.shadow) || !thread.stack || !area_end(thread.stack)) {
      refuse("thread ", thread.number, " has no stack or no frames");
    }
  }
}

/// Calls `each(descriptor, detail)` for those of the image.
template <class Each>
void for_each_described(Each each) {
  for (uint64_t at = 0; at < descriptors_used;) {
    const auto& descriptor = *reinterpret_cast<const godwit_image_descriptor*>(descriptors + at);
    each(descriptor, descriptors + at + sizeof descriptor);
    at += described_size(descriptor);
  }
}

void rebuild_descriptors(int commit) {
  close_foreign_descriptors(commit);
  // Refusals are for whoever restores, also when the unit's own standard error is open again already.
  messages = sys(__NR_fcntl, arrives() ? commit : 2, F_DUPFD_CLOEXEC, kOwnDescriptors);
  if (!failed(messages)) say_to(static_cast<int>(messages));
  bool kept[3] = {};
  for_each_described([&](const godwit_image_descriptor& descriptor, const char*) {
    if (descriptor.fd <= 2) kept[descriptor.fd] = true;
  });
  for (int fd = 0; fd <= 2; ++fd) {
    if (!kept[fd]) sys(__NR_close, fd);
  }
  for_each_described([](const godwit_image_descriptor& descriptor, const char* detail) {
    Text<400> why;
    if (!restore_descriptor(descriptor, detail, why)) refuse(why.text());
  });
  end_filling();
  for_each_described([](const godwit_image_descriptor& descriptor, const char* detail) {
    Text<400> why;
    if (!finish_descriptor(descriptor, detail, why)) refuse(why.text());
  });
}

/// The unit is this process's: clients may come. Sockets first, so that a name never leads to one that doesn't listen.
void publish() {
  if (arrives()) say_to(2);  // who has sent the commit doesn't listen any more
  for_each_described([](const godwit_image_descriptor& descriptor, const char* detail) {
    Text<400> why;
    if (!publish_descriptor(descriptor, detail, why)) say(why);
  });
  publish_names();
  if (descriptors) sys(__NR_munmap, descriptors, kDescriptorRoom);
  say_to(2);
  sys(__NR_close, messages);
}

/// Everything is rebuilt and nothing runs: the last moment at which the unit can still belong to the other side.
void await_commit(int fd) {
  if (fd < 0) return;
  const char ready[] = "restored\n";
  sys(__NR_write, fd, ready, sizeof ready - 1);
  char byte = 0;
  long got = 0;
  do got = sys(__NR_read, fd, &byte, 1);
  while (got == -EINTR);
  if (got != 1) refuse("it was restored, but whoever asked for it went away before the commit");
  sys(__NR_close, fd);
}

void restart_timers() {
  for (int which = 0; which < 3; ++which) {
    long timer[4];
    for (int i = 0; i < 4; ++i) timer[i] = static_cast<long>(header().timers[which][i]);
    if (timer[2] | timer[3]) sys(__NR_setitimer, which, timer, nullptr);
  }
}

}  // namespace

void restore_image(int fd, int commit) {
  if (!arrives()) fd = put_aside(fd);
  if (commit >= 0 && !arrives()) commit = put_aside(commit);
  read_records(fd, read_header(fd));
  if (fd != commit) sys(__NR_close, fd);
  check_tables();
  if (const long error = sys(__NR_chdir, cwd); failed(error)) {
    refuse("its working directory isn't here: ", cwd, " (error ", -error, ")");
  }
  sys(__NR_umask, process.umask & 0777);
  rebuild_descriptors(commit);
  arena_protect();
  await_commit(commit);
  clocks_after_restore();
  publish();
  restore_signals();
  raise_held_signals(header().pending, true);  // blocked in this thread, and in those it starts, until they run
  refresh_request();
  begin_restored_threads();
  restart_timers();
}

}  // namespace godwit::portable
