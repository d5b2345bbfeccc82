#include <fcntl.h>
#include <unistd.h>

#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

TEST(RegularKind, keeps_flags_and_offset) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "log", O_RDWR | O_CREAT | O_APPEND);
  ASSERT_OK(io::write_full(fd.get(), "hello"));
  ::lseek(fd.get(), 2, SEEK_SET);
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  EXPECT_EQ(::lseek(restored.fd(id), 0, SEEK_CUR), 2);
}

}  // namespace
}  // namespace godwit::pod::test
