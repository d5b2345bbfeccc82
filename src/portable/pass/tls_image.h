// The global that lower_threads.cc makes and lay_out.cc describes in `godwit_program`.
#pragma once

namespace godwit::portable {
constexpr const char* kTlsImage = "godwit.tls.image";
}
