#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "sealing/sealing.h"

namespace godwit::sealing {

Result<std::unique_ptr<SealingPipe>> SealingPipe::open(const SealPublicKey& recipient, const Fd& file) {
  TRY(Sealer seal, Sealer::to(recipient));
  TRY(auto ends, sys::pipe(O_CLOEXEC));
  return std::unique_ptr<SealingPipe>(
      new SealingPipe(std::move(seal), std::move(ends.second), std::move(ends.first), file));
}

SealingPipe::SealingPipe(Sealer seal, Fd input, Fd output, const Fd& file)
    : seal_(std::move(seal)), input_(std::move(input)), output_(std::move(output)), file_(file) {
  thread_ = std::thread([this] {
    done_ = run();
    output_.reset();
  });
}

SealingPipe::~SealingPipe() {
  input_.reset();
  if (thread_.joinable()) thread_.join();
}

Result<uint64_t> SealingPipe::finish() {
  input_.reset();
  if (thread_.joinable()) thread_.join();
  TRY_DO(done_);
  return written_;
}

Result<void> SealingPipe::put(std::string_view bytes) {
  TRY_DO(io::write_full(file_.get(), bytes));
  written_ += bytes.size();
  return {};
}

Result<void> SealingPipe::run() {
  TRY_DO(put(seal_.header()));
  std::vector<std::byte> piece(4 * kChunk);
  for (;;) {
    TRY(const size_t got, io::read_some(output_.get(), piece));
    if (got == 0) break;
    TRY_DO(put(seal_.add({reinterpret_cast<const char*>(piece.data()), got})));
  }
  return put(seal_.finish());
}

}  // namespace godwit::sealing
