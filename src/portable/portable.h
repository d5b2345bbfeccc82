// portable: programs that `godwit cc` compiled, seen from outside: what is in their files, saving a running one, starting a saved one.
//
// A *package* is one file for several architectures: a starting script of one block, then an executable for each, then, in a
// checkpoint, the image (docs/formats/portable-image.md) of the running program. The script runs the right executable; with an
// image it lets the program go on. So a program and its checkpoint are both started by executing them, on any of the architectures.
//
//     TRY(const bool ours, portable::is_portable(pid));
//     TRY(auto saved, portable::checkpoint(pid, "sim.godwit", {}));     // the program has ended; ./sim.godwit goes on
//
// What compiles and runs the programs themselves is in the folders beside: compiler/, pass/, libc/, runtime/, driver/.
//
// Threads: any. Failure: a program that can't be saved goes on as if nothing had happened; all its reasons are in the error.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::portable {

constexpr uint64_t kBlock = 4096;

/// One architecture's executable in a package.
struct Part {
  std::string architecture;  ///< as `uname -m`: "aarch64"
  uint64_t block = 0;  ///< where it begins, in blocks
  uint64_t size = 0;  ///< bytes
  std::string digest;  ///< SHA-256 of them, hexadecimal
  bool operator==(const Part&) const = default;
};

struct Package {
  std::vector<Part> parts;
  uint64_t image_block = 0;  ///< where the image begins; 0: a program, not a checkpoint
  [[nodiscard]] uint64_t blocks() const;  ///< of script and parts
  bool operator==(const Package&) const = default;
};

/// The first block of a package: a shell script, and at its end what read_package() reads.
std::string starting_script(const Package& package);

/// What is in a file. kCorrupt when it isn't a package, or one whose parts can't lie in it.
Result<Package> read_package(const Fd& file);

/// Is it a running portable program, emulated ones (qemu-user) included? `proc`: a /proc that shows it by this number.
Result<bool> is_portable(const Fd& proc, pid_t pid);
Result<bool> is_portable(pid_t pid);

/// The program that runs those of another architecture here (qemu-user). kUsage: Godwit doesn't know that architecture;
/// kRefused: it isn't installed.
Result<std::string> find_emulator(const std::string& architecture);

struct SaveOptions {
  bool leave_running = false;
};

struct Saved {
  std::string program;  ///< the package that it was started from
  uint64_t image_bytes = 0;
  uint64_t file_bytes = 0;
  double stopped_ms = 0;  ///< from the request to the last byte of the image
};

/// Saves a running portable program into a package that lets it go on. Unless it is left running it ends when the file is safe
/// on its disk: at every moment there is one copy. kRefused with all reasons when it can't be saved.
Result<Saved> checkpoint(pid_t pid, const std::string& path, const SaveOptions& options);

}  // namespace godwit::portable
