# what: zstd -T2: compression on two threads
# needs: zstd
# files: data.zst
setup() {
  awk 'BEGIN { for (i = 1; i < 7800000; i++) print i * 7919 % 1000003, i % 977 }' > data
}
work() {
  zstd -T2 -12 -q -f data -o data.zst
  sha256sum data.zst
  zstd -d -q -c data.zst | sha256sum
}
