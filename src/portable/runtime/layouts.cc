// Which structures the system calls have behind their pointers: read by exchange.cc on a processor that is big-endian or narrow.
//
// A call that isn't here takes numbers, names and bytes only. To add one: a row for each argument that is a pointer, with the fields
// of the neutral structure (musl's headers) in their order.
//
// What returns numbers through read() can't be told from bytes there: such descriptors don't exist on a big-endian processor.
#include <asm/errno.h>

#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr Layout one(int number, int argument, const char* fields) {
  return {static_cast<int16_t>(number), static_cast<uint8_t>(argument), Layout::kFields, fields};
}
constexpr Layout many(int number, int argument, const char* fields, int count_in, int most) {
  Layout row = one(number, argument, fields);
  row.count_in = static_cast<int8_t>(count_in);
  row.most = static_cast<uint16_t>(most);
  return row;
}
constexpr Layout other(int number, int argument, Layout::Kind kind, int count_in = -1) {
  Layout row = one(number, argument, "");
  row.kind = kind;
  row.count_in = static_cast<int8_t>(count_in);
  return row;
}
constexpr Layout when(Layout row, int argument, uint32_t is, uint32_t mask = ~0u) {
  row.when = static_cast<int8_t>(argument);
  row.is = is;
  row.mask = mask;
  return row;
}
constexpr Layout refused(int number, int error = ENOSYS) {
  Layout row = other(number, 0, Layout::kRefused);
  row.error = static_cast<int16_t>(-error);
  return row;
}

constexpr const char* kTime = "88";
constexpr const char* kTwoTimes = "8888";
constexpr const char* kTimer = "llll";
constexpr const char* kStat = "88444488844888888844";
constexpr const char* kStatfs = "8888888448888888";
constexpr const char* kUsage = "llllllllllllllllll";
constexpr const char* kTermios = "444411111111111111111111";
constexpr const char* kFlock = "22884";
constexpr const char* kEvent = "448";
constexpr const char* kStatx = "4484442288888448448448444444844888888888888";
constexpr const char* kSchedAttr = "4484488844";

constexpr Layout unreadable(int number) {
  Layout row = refused(number);
  row.kind = Layout::kRefusedTurned;
  return row;
}

// In ascending order of their numbers.
constexpr Layout kRows[] = {
    unreadable(19),  // eventfd2
    one(21, 3, kEvent),
    many(22, 1, kEvent, 2, 256),
    one(22, 4, "8"),
    when(one(25, 2, kFlock), 1, 5),  // F_GETLK, F_SETLK, F_SETLKW, and those of open files
    when(one(25, 2, kFlock), 1, 6),
    when(one(25, 2, kFlock), 1, 7),
    when(one(25, 2, kFlock), 1, 36),
    when(one(25, 2, kFlock), 1, 37),
    when(one(25, 2, kFlock), 1, 38),
    when(one(25, 2, "44"), 1, 15),  // F_SETOWN_EX, F_GETOWN_EX
    when(one(25, 2, "44"), 1, 16),
    unreadable(26),  // inotify_init1
    when(one(29, 2, kTermios), 1, 0x5401),  // TCGETS, TCSETS, TCSETSW, TCSETSF
    when(one(29, 2, kTermios), 1, 0x5402),
    when(one(29, 2, kTermios), 1, 0x5403),
    when(one(29, 2, kTermios), 1, 0x5404),
    when(one(29, 2, "4"), 1, 0x540f),  // TIOCGPGRP, TIOCSPGRP
    when(one(29, 2, "4"), 1, 0x5410),
    when(one(29, 2, "2222"), 1, 0x5413),  // TIOCGWINSZ, TIOCSWINSZ
    when(one(29, 2, "2222"), 1, 0x5414),
    when(one(29, 2, "4"), 1, 0x541b),  // FIONREAD
    when(one(29, 2, "4"), 1, 0x5421),  // FIONBIO
    when(one(29, 2, "4"), 1, 0x5429),  // TIOCGSID
    when(one(29, 2, "4"), 1, 0x5411),  // TIOCOUTQ
    when(one(29, 2, ""), 1, 0x5450),  // FIONCLEX, FIOCLEX, and what takes a number: TCSBRK, TCXONC, TCFLSH
    when(one(29, 2, ""), 1, 0x5451),
    when(one(29, 2, ""), 1, 0x5409),
    when(one(29, 2, ""), 1, 0x540a),
    when(one(29, 2, ""), 1, 0x540b),
    refused(29, ENOTTY),  // any other
    one(43, 1, kStatfs),
    one(44, 1, kStatfs),
    one(59, 0, "44"),
    other(61, 1, Layout::kEntries),
    other(65, 1, Layout::kVectors, 2),
    other(66, 1, Layout::kVectors, 2),
    other(69, 1, Layout::kVectors, 2),
    other(70, 1, Layout::kVectors, 2),
    one(71, 2, "8"),
    many(72, 1, "8", 0, 16),
    many(72, 2, "8", 0, 16),
    many(72, 3, "8", 0, 16),
    one(72, 4, kTime),
    other(72, 5, Layout::kSignalSet),
    many(73, 0, "422", 1, 65535),
    one(73, 2, kTime),
    one(73, 3, "8"),
    other(75, 1, Layout::kVectors, 2),
    one(76, 1, "8"),
    one(76, 3, "8"),
    one(79, 2, kStat),
    one(80, 1, kStat),
    unreadable(85),  // timerfd_create
    one(88, 2, kTwoTimes),
    one(90, 0, "44"),
    many(90, 1, "444444", -1, 1),
    one(91, 0, "44"),
    many(91, 1, "444444", -1, 1),
    other(95, 2, Layout::kInfo),
    one(95, 4, kUsage),
    when(one(98, 3, kTime), 1, 0, 0x7f),  // FUTEX_WAIT, FUTEX_WAIT_BITSET
    when(one(98, 3, kTime), 1, 9, 0x7f),
    one(101, 0, kTime),
    one(101, 1, kTime),
    one(102, 1, kTimer),
    one(103, 1, kTimer),
    one(103, 2, kTimer),
    one(112, 1, kTime),
    one(113, 1, kTime),
    one(114, 1, kTime),
    one(115, 2, kTime),
    one(115, 3, kTime),
    one(118, 1, "4"),
    one(119, 2, "4"),
    one(121, 1, "4"),
    many(122, 2, "8", 1, 8192),
    many(123, 2, "8", 1, 8192),
    one(127, 1, kTime),
    one(132, 0, "848"),
    one(132, 1, "848"),
    one(133, 0, "8"),
    one(135, 1, "8"),
    one(135, 2, "8"),
    one(136, 0, "8"),
    one(137, 0, "8"),
    other(137, 1, Layout::kInfo),
    one(137, 2, kTime),
    other(138, 2, Layout::kInfo),
    one(148, 0, "4"),
    one(148, 1, "4"),
    one(148, 2, "4"),
    one(150, 0, "4"),
    one(150, 1, "4"),
    one(150, 2, "4"),
    one(153, 0, kTimer),
    many(158, 1, "4", 0, 65535),
    many(159, 1, "4", 0, 65535),
    one(163, 1, kTime),
    one(164, 1, kTime),
    one(165, 1, kUsage),
    when(one(167, 1, "4"), 0, 2),  // PR_GET_PDEATHSIG
    when(one(167, 1, "4"), 0, 37),  // PR_GET_CHILD_SUBREAPER
    one(168, 0, "4"),
    one(168, 1, "4"),
    one(169, 0, kTime),
    one(169, 1, "44"),
    one(170, 0, kTime),
    one(170, 1, "44"),
    refused(171),  // adjtimex
    one(179, 0, "lLLLLLLLLL22LL4"),
    one(199, 3, "44"),
    other(200, 1, Layout::kAddress, 2),
    other(202, 1, Layout::kAddressOut, 2),
    other(203, 1, Layout::kAddress, 2),
    other(204, 1, Layout::kAddressOut, 2),
    other(205, 1, Layout::kAddressOut, 2),
    other(206, 4, Layout::kAddress, 5),
    other(207, 4, Layout::kAddressOut, 5),
    other(208, 3, Layout::kOption, 4),
    other(209, 3, Layout::kOption, 4),
    other(211, 1, Layout::kMessage),
    other(212, 1, Layout::kMessage),
    other(221, 1, Layout::kStrings),
    other(221, 2, Layout::kStrings),
    other(242, 1, Layout::kAddressOut, 2),
    refused(243),  // recvmmsg
    one(260, 1, "4"),
    one(260, 3, kUsage),
    one(261, 2, kTime),
    one(261, 3, kTime),
    unreadable(262),  // fanotify_init
    refused(266),  // clock_adjtime
    refused(269),  // sendmmsg
    other(270, 1, Layout::kVectors, 2),
    other(270, 3, Layout::kVectors, 4),
    other(271, 1, Layout::kVectors, 2),
    other(271, 3, Layout::kVectors, 4),
    one(274, 1, kSchedAttr),
    one(275, 1, kSchedAttr),
    other(281, 2, Layout::kStrings),
    other(281, 3, Layout::kStrings),
    one(285, 1, "8"),
    one(285, 3, "8"),
    other(286, 1, Layout::kVectors, 2),
    other(287, 1, Layout::kVectors, 2),
    one(291, 4, kStatx),
    other(424, 2, Layout::kInfo),
    one(437, 2, "888"),
    many(441, 1, kEvent, 2, 256),
    one(441, 3, kTime),
    one(441, 4, "8"),
};

constexpr int kNumbers = 451;

struct Index {
  uint16_t first[kNumbers + 1];
};

consteval Index by_number() {
  Index index = {};
  uint16_t row = 0;
  for (int number = 0; number <= kNumbers; ++number) {
    index.first[number] = row;
    while (row < sizeof kRows / sizeof kRows[0] && kRows[row].number == number) ++row;
  }
  return index;
}

constexpr Index kIndex = by_number();
static_assert(kIndex.first[kNumbers] == sizeof kRows / sizeof kRows[0], "the rows aren't in order");

}  // namespace

Layouts layouts_of(long number) { return {kRows + kIndex.first[number], kRows + kIndex.first[number + 1]}; }

}  // namespace godwit::portable
