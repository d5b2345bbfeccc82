# The second part of scripts/demo, sourced by it: a C program and a C++ program, compiled once for three CPU architectures, go from
# one to the next while they run. Two of the machines are emulated (qemu-user), which makes them slow, and nothing else.
# shellcheck shell=bash disable=SC2154

round=$work/round
rm -rf "$round"
mkdir -p "$round"
[ -s "$work/genome.fna" ] || genome > "$work/genome.fna"

step "a C and a C++ program are compiled for x86_64, aarch64 and riscv64"
show godwit cc -O2 -o "$round/planets" "$root/examples/portable/planets.c" -lm
show godwit c++ -O2 -o "$round/words" "$root/examples/portable/words.cc"
planets=("$round/planets" 6000)
words=("$round/words" "$work/genome.fna" 12)
step "each runs without a move: the references"
"${planets[@]}" > "$round/planets.reference"
"${words[@]}" > "$round/words.reference"
tail -1 "$round/planets.reference"
tail -1 "$round/words.reference" | cut -c 1-100

step "three machines of three architectures"
godwit down > /dev/null 2>&1 || true
show godwit up --nodes x86_64,aarch64,riscv64

lines() { godwit logs "$1" 2> /dev/null | wc -l; }
# Waits until a unit has written so many more lines.
until_more() {
  local wanted=$(($(lines "$1") + $2))
  while [ "$(lines "$1")" -lt "$wanted" ]; do
    godwit ps --json | grep -q "\"$1\"" || { godwit logs "$1" | tail -3; die "$1 is gone"; }
    sleep 0.1
  done
  echo "$1 has written $(lines "$1") lines"
}
go_round() {
  local unit=$1 more=$2
  until_more "$unit" "$more"
  for node in node-2 node-3 node-1; do
    show godwit move "$unit" --to "$node" | head -2
    [ $node = node-1 ] || until_more "$unit" "$more"
  done
  show godwit wait "$unit"
  godwit logs "$unit" > "$round/$unit.report"
  (cd "$round" && sha256sum "$unit.reference" "$unit.report")
  cmp "$round/$unit.reference" "$round/$unit.report" || die "the reports of $unit differ"
}

step "the C program goes round: x86_64 → aarch64 → riscv64 → x86_64"
show godwit run --name planets --node node-1 -- "${planets[@]}"
go_round planets 100
step "the C++ program does"
show godwit run --name words --node node-1 -- "${words[@]}"
go_round words 1
godwit show words || true

cat << END

What happened: two programs, compiled once each, ran on an x86_64 machine, moved to an aarch64 and to a riscv64 while they ran, and
back, with their open files, hash tables and floating-point numbers. What they wrote is, byte for byte, what they write when they are
never touched. It took $((SECONDS - began)) s.
END
