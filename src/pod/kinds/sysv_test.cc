#include "pod/kinds/sysv.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "pod/kinds/all.h"
#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

bool may_choose_ids() { return ::access("/proc/sys/kernel/msg_next_id", W_OK) == 0 && ::geteuid() == 0; }

// The section alone: this process is the tree, and the last to have used the objects.
struct Section {
  FakeTree tree;
  std::string state;
  Result<void> dump() {
    TRY(state, kSysvSection.dump(tree));
    return {};
  }
  Result<void> restore(FakeRestore& to, bool commit = true) {
    TRY_DO(kSysvSection.restore(to, state));
    TRY_DO(kSysvSection.connect(to, state));
    return commit ? kSysvSection.activate(to, state) : Result<void>();
  }
};

struct Message {
  long type;
  char text[64];
};

TEST(Sysv, keeps_message_queues_with_ids_types_and_order) {
  if (!may_choose_ids()) GTEST_SKIP() << "choosing ids needs root";
  const int id = ::msgget(IPC_PRIVATE, 0640 | IPC_CREAT);
  ASSERT_GE(id, 0);
  const Message sent[] = {{7, "seven"}, {1, "one"}, {7, "again seven"}, {3, ""}};
  for (const auto& m : sent) ASSERT_EQ(::msgsnd(id, &m, std::strlen(m.text), IPC_NOWAIT), 0);
  Section section;
  ASSERT_OK(section.dump());
  msqid_ds ds{};
  ::msgctl(id, IPC_STAT, &ds);
  EXPECT_EQ(ds.msg_qnum, 4u) << "the dump took nothing out";
  ::msgctl(id, IPC_RMID, nullptr);
  {
    FakeRestore aborted(section.tree);
    ASSERT_OK(section.restore(aborted, false));
    EXPECT_EQ(::msgctl(id, IPC_STAT, &ds), 0);
  }
  EXPECT_NE(::msgctl(id, IPC_STAT, &ds), 0) << "an abort leaves nothing";
  FakeRestore restored(section.tree);
  ASSERT_OK(section.restore(restored));
  ASSERT_EQ(::msgctl(id, IPC_STAT, &ds), 0);
  EXPECT_EQ(ds.msg_perm.mode & 0777, 0640u);
  for (const auto& m : sent) {
    Message got{};
    ASSERT_EQ(::msgrcv(id, &got, sizeof(got.text), 0, IPC_NOWAIT), static_cast<ssize_t>(std::strlen(m.text)));
    EXPECT_EQ(got.type, m.type);
    EXPECT_STREQ(got.text, m.text);
  }
  ::msgctl(id, IPC_RMID, nullptr);
}

TEST(Sysv, keeps_semaphores_and_what_a_process_must_undo) {
  if (!may_choose_ids()) GTEST_SKIP() << "choosing ids needs root";
  // A child, so that the adjustments are those of a process that this test can end.
  const pid_t child = ::fork();
  if (child == 0) {
    const int id = ::semget(IPC_PRIVATE, 3, 0600 | IPC_CREAT);
    unsigned short values[] = {5, 0, 9};
    ::semctl(id, 0, SETALL, values);
    sembuf take[] = {{0, -2, SEM_UNDO}, {1, 4, SEM_UNDO}, {2, -1, 0}};
    bool good = ::semop(id, take, 3) == 0;
    Section section;
    good = good && section.dump().has_value() && ::semctl(id, 0, GETVAL) == 3 && ::semctl(id, 1, GETVAL) == 4;
    ::semctl(id, 0, IPC_RMID);
    FakeRestore restored(section.tree);
    good = good && section.restore(restored).has_value();
    good = good && ::semctl(id, 0, GETVAL) == 3 && ::semctl(id, 1, GETVAL) == 4 && ::semctl(id, 2, GETVAL) == 8;
    good = good && ::unshare(CLONE_SYSVSEM) == 0;  // as the end of the process would
    good = good && ::semctl(id, 0, GETVAL) == 5 && ::semctl(id, 1, GETVAL) == 0 && ::semctl(id, 2, GETVAL) == 8;
    ::semctl(id, 0, IPC_RMID);
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Sysv, keeps_a_segment_that_nobody_has_attached) {
  if (!may_choose_ids()) GTEST_SKIP() << "choosing ids needs root";
  const int id = ::shmget(IPC_PRIVATE, 10000, 0600 | IPC_CREAT);
  auto* memory = static_cast<char*>(::shmat(id, nullptr, 0));
  std::strcpy(memory + 5000, "in the second page");
  ::shmdt(memory);
  Section section;
  ASSERT_OK(section.dump());
  ::shmctl(id, IPC_RMID, nullptr);
  FakeRestore restored(section.tree);
  ASSERT_OK(section.restore(restored));
  memory = static_cast<char*>(::shmat(id, nullptr, 0));
  ASSERT_NE(memory, reinterpret_cast<char*>(-1));
  EXPECT_STREQ(memory + 5000, "in the second page");
  ::shmdt(memory);
  shmid_ds ds{};
  ASSERT_EQ(::shmctl(id, IPC_STAT, &ds), 0);
  EXPECT_EQ(ds.shm_segsz, 10000u);
  ::shmctl(id, IPC_RMID, nullptr);
}

TEST(Sysv, makes_an_attached_segment_with_its_id_and_key) {
  if (!may_choose_ids()) GTEST_SKIP() << "choosing ids needs root";
  const key_t key = 0x60d0000 + ::getpid();
  const int id = ::shmget(key, 4096, 0640 | IPC_CREAT | IPC_EXCL);
  ASSERT_GE(id, 0);
  const auto state = describe_sysv_segment(id);
  ASSERT_OK(state);
  ::shmctl(id, IPC_RMID, nullptr);
  FakeTree tree;
  {
    FakeRestore restored(tree);
    const auto made = create_sysv_segment(restored, *state, 4096);
    ASSERT_OK(made);
    EXPECT_EQ(made->id, id);
    EXPECT_EQ(::shmget(key, 0, 0), id);
    ::shmdt(made->memory);
  }
  EXPECT_EQ(::shmget(key, 0, 0), -1) << "not activated: taken away again";
}

}  // namespace
}  // namespace godwit::pod::test
