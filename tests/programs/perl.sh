# what: Perl: hashes, sorting, regular expressions, a child through a pipe
# needs: perl
setup() {
  cat > job.pl << 'END'
use strict; use warnings; use Digest::SHA qw(sha256_hex);
$| = 1;
my (%seen, $x); $x = 12345;
open(my $child, '-|', 'i=0; while [ $i -lt 90 ]; do echo line $i; i=$((i+1)); done; cat /dev/null') or die;
for my $turn (1 .. 90) {
  for (1 .. 60000) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; $seen{$x % 50021} .= chr(97 + $x % 26); }
  my $line = <$child>; chomp $line;
  my $text = join ',', map { $seen{$_} } grep { $_ % 7 == $turn % 7 } sort { $a <=> $b } keys %seen;
  my $count = () = $text =~ /a[b-m]+z?/g;
  print "$turn $line $count ", substr(sha256_hex($text), 0, 16), "\n";
}
END
}
work() { exec /usr/bin/perl job.pl; }
