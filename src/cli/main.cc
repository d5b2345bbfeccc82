// The program `godwit`: everything is in cli.h.
#include "cli/cli.h"

int main(int argc, char** argv) { return godwit::cli::main({argv + (argc > 0 ? 1 : 0), argv + argc}); }
