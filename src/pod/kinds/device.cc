// Character devices without state: opening them again is restoring them.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_device.pb.h"
#include "pod/kinds/all.h"

namespace godwit::pod {
namespace {

struct Device {
  unsigned major_number, minor_number;
};
// Documentation/admin-guide/devices.txt of the kernel: 1 = memory devices; 5,0 = /dev/tty is opened by tty.cc.
constexpr Device kStateless[] = {
    {1, 3} /* null */, {1, 5} /* zero */, {1, 7} /* full */, {1, 8} /* random */, {1, 9} /* urandom */};

bool matches(const OpenFileView& view) {
  if (!S_ISCHR(view.st.st_mode)) return false;
  return std::ranges::any_of(kStateless, [&](const Device& d) {
    return major(view.st.st_rdev) == d.major_number && minor(view.st.st_rdev) == d.minor_number;
  });
}

Result<void> dump(DumpContext&, const OpenFileView& view, pb::OpenFile& out) {
  pb::DeviceFile device;
  device.set_path(view.link);
  device.set_major(major(view.st.st_rdev));
  device.set_minor(minor(view.st.st_rdev));
  out.set_state(device.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  pb::DeviceFile state;
  if (!state.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of a device can't be parsed");
  TRY(Fd fd, sys::open(state.path(), (static_cast<int>(file.flags()) & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_NOCTTY));
  TRY(const auto st, sys::stat(fd));
  if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != state.major() || minor(st.st_rdev) != state.minor()) {
    return fail(Code::kFailed, state.path() + " is another device here");
  }
  return fd;
}

}  // namespace

const FileKind kDeviceKind = {
    .name = "device", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.DeviceFile"};

}  // namespace godwit::pod
