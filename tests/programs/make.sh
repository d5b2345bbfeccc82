# what: make -j2 of a small project: a tree of processes that come and go
# needs: make gcc
# files: program
setup() {
  for i in $(seq 45); do
    awk -v n="$i" 'BEGIN { printf "#include <stdio.h>\n#include <string.h>\n"; for (k = 0; k < 25; k++) printf "int part%d_%d(int x) { char b[99]; for (int i = 0; i < x; i++) { snprintf(b, 99, \"%%d\", i * %d); x += (int)strlen(b) * b[0]; } return x; }\n", n, k, k + n }' > "part$i.c"
  done
  { echo 'int part1_0(int); int part45_24(int); int main(void) { return (part1_0(3) + part45_24(4)) & 1; }'; } > main.c
  cat > Makefile << 'END'
objects = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
program: $(objects)
	$(CC) -o $@ $(objects)
%.o: %.c
	$(CC) -O2 -c $< -o $@
END
}
work() {
  make -s -j2
  ls | sort | sha256sum
  sha256sum program
}
