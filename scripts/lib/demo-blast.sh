# The main job of scripts/demo, sourced by it: a BLAST search that is moved, checkpointed, carried to a machine that has neither the
# program nor the database, killed with that machine, and restored elsewhere.
# shellcheck shell=bash disable=SC2154

# BLAST reports after each batch of queries; by itself it would make two batches of them all.
export BATCH_SIZE=18000
search=(/usr/bin/blastn -task blastn -query "$queries" -db "$database/strains" -num_threads 2 -outfmt 7 -max_target_seqs 50)

made=$database/made
wanted="bases $bases count $count $(sha256sum < "$root/examples/blast/mutate.cc")"
if [ "$(cat "$made" 2> /dev/null)" != "$wanted" ]; then
  step "growing the genome of E. coli 536 into a database of $bases bases of its descendants"
  rm -rf "$database" "$work"/reference*
  mkdir -p "$database"
  genome > "$work/genome.fna"
  "$root/build/release/bin/examples/mutate" queries --seed 2 --count $count --length 900 < "$work/genome.fna" > "$queries"
  "$root/build/release/bin/examples/mutate" database --seed 1 --bases $bases < "$work/genome.fna" > "$work/strains.fna"
  makeblastdb -in "$work/strains.fna" -dbtype nucl -out "$database/strains" -title "descendants of E. coli 536" > "$work/makeblastdb.log"
  rm "$work/strains.fna"
  printf '%s' "$wanted" > "$made"
fi
echo "database: $(du -sh "$database" | cut -f1) in $(find "$database" -name 'strains*' | wc -l) files; $count queries of 900 bases"

# --- the reference ----------------------------------------------------------------------------------------------------

if [ ! -s "$work/reference.tsv" ]; then
  step "the search, never moved: the reference"
  started=$SECONDS
  (cd "$work" && "${search[@]}" > reference.part && mv reference.part reference.tsv)
  echo $((SECONDS - started)) > "$work/reference.seconds"
fi
echo "undisturbed it takes $(cat "$work/reference.seconds") s and reports $(grep -vc '^#' "$work/reference.tsv") hits"

# --- the grid ---------------------------------------------------------------------------------------------------------

step "three machines; the third has neither BLAST nor the database"
third=$work/node-3
godwit down > /dev/null 2>&1 || true
mkdir -p "$third"
mount -t tmpfs node-3 "$third"
mkdir "$third/changes" "$third/work" "$third/root"
mount -t overlay node-3 -o "lowerdir=/,upperdir=$third/changes,workdir=$third/work" "$third/root" ||
  die "cannot mount an overlay over / for the third machine"
for file in $(dpkg -L ncbi-blast+ | grep -E '^/usr/(bin|lib)/.'); do
  [ -d "$third/root$file" ] && [ ! -L "$third/root$file" ] || rm -f "$third/root$file"
done
rm -rf "$third/root$database" "$third/root$work"/reference* "$third/root$work/genome.fna"

show godwit up --nodes 3 --root "node-3=$third/root"
show godwit nodes
echo "on node-3:"
looking=$(godwit run --node node-3 -- /bin/ls /usr/bin/blastn "$database" | tail -1)
godwit wait "$looking" > /dev/null 2>&1 || true
godwit logs "$looking" | sed 's/^/    /'

# --- the job ----------------------------------------------------------------------------------------------------------

reported() { godwit logs search 2> /dev/null | grep -c '^# Query' || true; }
# Waits until so many percent of the queries are in the report.
until_percent() {
  local wanted=$((count * $1 / 100)) now
  while now=$(reported); [ "$now" -lt "$wanted" ]; do
    godwit ps --json | grep -q '"search"' || { godwit logs search | tail -3; die "the search is gone"; }
    sleep 0.2
  done
  echo "$now of $count queries are in its report"
}

mkdir -p "$work/job"
step "the search starts on node-1"
show godwit run --name search --node node-1 --dir "$work/job" --with "$database" -- "${search[@]}"
until_percent 8

step "it moves to node-2 while it runs"
show godwit move search --to node-2
until_percent 25

step "a checkpoint is kept"
show godwit checkpoint search
show godwit history search
until_percent 35

step "it moves to node-3, which gets the program, its libraries and the database with it"
show godwit move search --to node-3
until_percent 50

step "node-3 dies, and the search with it"
show godwit grid crash node-3
for _ in $(seq 100); do
  godwit nodes --json | grep -qi '"gone"' && break
  sleep 0.2
done
show godwit ps

step "the checkpoint is restored on node-1"
show godwit restore search --node node-1
echo "$(reported) of $count queries are in its report: it went back to the checkpoint, its output with it"
show godwit wait search
godwit logs search > "$work/report.tsv"

step "the two reports"
(cd "$work" && sha256sum reference.tsv report.tsv)
if ! cmp "$work/reference.tsv" "$work/report.tsv"; then die "the reports differ"; fi
godwit show search || true

cat << END

What happened: a BLAST search with two threads over $(du -sh "$database" | cut -f1) of database ran on node-1, moved to node-2 while
it ran, was checkpointed there, moved on to node-3, which had neither BLAST nor the database, died there with its machine,
and was restored from the checkpoint on node-1. Its report of $(wc -l < "$work/report.tsv") lines is, byte for byte, that of the
search that was never touched. It took $((SECONDS - began)) s, of which $(cat "$work/reference.seconds") s for the reference.
END
