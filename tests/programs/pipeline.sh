# what: pipelines of seq, sort, awk, gzip: many processes and pipes that are full
# needs: sort gzip awk
setup() { :; }
work() {
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    seq 400000 | awk -v n=$i '{ print ($1 * 7919 * n) % 1000003 }' | sort -n -S 8M --parallel=2 | uniq -c | gzip -6 | gzip -d | sha256sum
  done
}
