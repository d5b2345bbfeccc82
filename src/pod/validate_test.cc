#include "pod/validate.h"

#include <gtest/gtest.h>
#include <sys/user.h>

#include <functional>

namespace godwit::pod {
namespace {

v1::PodState good() {
  v1::PodState s;
  s.set_version(1);
  auto* space = s.add_spaces();
  space->set_id(1);
  space->set_pid(7);
  auto* area = space->add_areas();
  area->set_start(0x400000);
  area->set_end(0x401000);
  area->set_prot(3);
  auto* file = s.add_files();
  file->set_id(1);
  file->set_kind("regular");
  auto* p = s.add_processes();
  p->set_pid(7);
  p->set_space(1);
  p->set_cwd("/");
  p->set_root("/");
  auto* t = p->add_threads();
  t->set_tid(7);
  t->set_regs(std::string(sizeof(user_regs_struct), '\0'));
  auto* d = p->add_descriptors();
  d->set_fd(3);
  d->set_file(1);
  return s;
}

TEST(Validate, a_plain_state_passes) { EXPECT_TRUE(validate(good())); }

TEST(Validate, every_flaw_is_named) {
  const std::pair<const char*, std::function<void(v1::PodState&)>> flaws[] = {
      {"no processes", [](auto& s) { s.clear_processes(); }},
      {"pid twice", [](auto& s) { *s.add_processes() = s.processes(0); }},
      {"negative pid", [](auto& s) { s.mutable_processes(0)->set_pid(-1); }},
      {"unknown parent", [](auto& s) { s.mutable_processes(0)->set_ppid(3); }},
      {"own parent", [](auto& s) { s.mutable_processes(0)->set_ppid(7); }},
      {"area backwards", [](auto& s) { s.mutable_spaces(0)->mutable_areas(0)->set_end(0x400000); }},
      {"area not whole pages", [](auto& s) { s.mutable_spaces(0)->mutable_areas(0)->set_start(0x400001); }},
      {"area of the kernel", [](auto& s) { s.mutable_spaces(0)->mutable_areas(0)->set_end(0xffff800000000000); }},
      {"areas overlap", [](auto& s) { *s.mutable_spaces(0)->add_areas() = s.spaces(0).areas(0); }},
      {"area of nothing", [](auto& s) { s.mutable_spaces(0)->mutable_areas(0)->set_file(9); }},
      {"no threads", [](auto& s) { s.mutable_processes(0)->clear_threads(); }},
      {"short registers", [](auto& s) { s.mutable_processes(0)->mutable_threads(0)->set_regs("x"); }},
      {"descriptor twice", [](auto& s) { *s.mutable_processes(0)->add_descriptors() = s.processes(0).descriptors(0); }},
      {"descriptor of nothing", [](auto& s) { s.mutable_processes(0)->mutable_descriptors(0)->set_file(2); }},
      {"relative directory", [](auto& s) { s.mutable_processes(0)->set_cwd("here"); }},
      {"signal 65", [](auto& s) { s.mutable_processes(0)->add_actions()->set_signal(65); }},
  };
  for (const auto& [name, spoil] : flaws) {
    auto state = good();
    spoil(state);
    const auto r = validate(state);
    ASSERT_FALSE(r) << name;
    EXPECT_EQ(r.error().code, Code::kCorrupt) << name;
  }
}

TEST(Validate, what_a_newer_godwit_wrote_is_refused) {
  auto state = good();
  state.set_version(2);
  EXPECT_EQ(validate(state).error().code, Code::kRefused);
  state = good();
  state.mutable_files(0)->set_kind("quantum");
  EXPECT_EQ(validate(state).error().code, Code::kRefused);
}

}  // namespace
}  // namespace godwit::pod
