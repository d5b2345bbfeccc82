#include <string>
#include <vector>

#include "sim/sim.h"

int main(int argc, char** argv) { return godwit::sim::main({argv + 1, argv + argc}); }
