# what: GNU Octave: linear algebra and cell arrays
# needs: octave-cli
setup() {
  cat > job.m << 'END'
a = mod(reshape(1:160000, 400, 400) * 7919, 101); c = {};
for turn = 1:360
  a = mod(a * a' + turn, 103);
  [q, r] = qr(a(1:60, 1:60));
  c{end + 1} = sprintf("%d-%d", turn, sum(a(:)));
  printf("%d %d %.6f %d\n", turn, sum(a(:)), abs(r(1, 1)), numel(strjoin(c, ",")));
  fflush(stdout);
end
END
}
work() { export OPENBLAS_NUM_THREADS=2; exec octave-cli --no-gui --norc job.m; }
