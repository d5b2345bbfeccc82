# what: NCBI BLAST+: a nucleotide search with two threads over a mapped database
# needs: blastn makeblastdb
setup() {
  local genome=/usr/share/doc/bowtie/examples/genomes/NC_008253.fna.gz
  [ -f $genome ] || { echo "SKIP: needs bowtie-examples"; return 77; }
  zcat $genome > genome.fna
  "$BUILD/bin/examples/mutate" queries --seed 2 --count 140 --length 900 < genome.fna > queries.fna
  "$BUILD/bin/examples/mutate" database --seed 1 --bases 100M < genome.fna > strains.fna
  makeblastdb -in strains.fna -dbtype nucl -out strains > /dev/null
  rm strains.fna
}
work() {
  exec /usr/bin/blastn -task blastn -query queries.fna -db strains -num_threads 2 -outfmt 7 -max_target_seqs 50
}
