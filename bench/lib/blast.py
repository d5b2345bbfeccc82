"""The applications of bench/grid: three BLAST+ searches of 8, 6 and 4 processes over segments of one sequence database.

The database is the genome of E. coli 536 grown into descendants (examples/blast/mutate.cc), its pieces dealt to as many
segments as an application has processes. So each application searches the whole database, and a process of X has half as
much to look at as one of Z. How many queries a process has follows from the work that it is to be (in CPU seconds), by a
short calibration here; all this is made once for a directory and kept there, with the reports of the runs that nobody moved.

The reference runs have the same limits on their CPUs as the nodes, since a program that is often stopped finds colder caches
and needs more CPU seconds; what they needed is the work that the simulator is told.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import zlib

import grid as g

BLAST = "/usr/bin/blastn"
# Batch work gives way to what serves it. On a node of a sixth of a processor a keeper that is one of five equals takes 10 s for a
# move which costs 0.3 s of CPU; times are scaled down here, and moves would be dearer than they are on any real grid.
NICE = ("/usr/bin/nice", "-n", "19")
GENOME = pathlib.Path("/usr/share/doc/bowtie/examples/genomes/NC_008253.fna.gz")
# Name, processes, work of each at scale 1 in CPU seconds.
APPLICATIONS = (("X", 8, 4.0), ("Y", 6, 2.8), ("Z", 4, 2.0))
QUERY_BASES = 900
CALIBRATION = 60  # queries
BATCH = 10  # queries that BLAST reports at a time
BUFFER = 4096  # bytes that it reads at a time


def environment():
    # BLAST reports after each batch of queries; by itself it would make two batches of them all.
    return {"BATCH_SIZE": str(BATCH * QUERY_BASES)}


def read_ahead(process):
    """The part of its queries that it has read but not searched, on average: half a batch and half a buffer."""
    return (BATCH * QUERY_BASES + BUFFER) / 2 / process.queries.stat().st_size


class Process:
    """One process of an application: its segment, its queries, what it needed when nobody moved it."""

    def __init__(self, application, number, folder):
        self.application, self.name = application, f"{application}{number}"
        self.segment = folder / f"{application}{number}"
        self.queries = folder / f"{application}.fna"
        self.report = folder / f"{application}{number}.report"
        self.work = 0.0

    def command(self):
        return [*NICE, BLAST, "-task", "blastn", "-query", str(self.queries), "-db", str(self.segment), "-num_threads", "1",
                "-outfmt", "7", "-max_target_seqs", "50"]


def check_possible(build):
    if not os.access(BLAST, os.X_OK):
        return "needs BLAST+: install ncbi-blast+ (scripts/install-dependencies demo)"
    if not shutil.which("makeblastdb"):
        return "needs makeblastdb, which makes the database: install ncbi-blast+ (scripts/install-dependencies demo)"
    if not (build / "bin" / "examples" / "mutate").exists():
        return "examples/mutate, which grows the database, is not built (scripts/build release mutate)"
    return None


def genome(folder):
    if not GENOME.exists():
        # Small images leave /usr/share/doc out when they install: it is in the package itself.
        unpacked = folder / "unpacked"
        if not unpacked.exists():
            done = subprocess.run("apt-get -q -q download bowtie-examples && dpkg-deb -x bowtie-examples_*.deb unpacked && rm bowtie-examples_*.deb",
                                  shell=True, cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                raise g.Failure(f"no genome: install bowtie-examples ({done.stderr.strip()})")
        return zlib.decompress((unpacked / GENOME.relative_to("/")).read_bytes(), wbits=31)
    return zlib.decompress(GENOME.read_bytes(), wbits=31)


def mutate(build, data, *arguments):
    done = subprocess.run([build / "bin" / "examples" / "mutate", *map(str, arguments)], input=data, capture_output=True, check=True)
    return done.stdout


def records(fasta):
    return [b">" + r for r in fasta.split(b"\n>")] if fasta else []


def make_segments(folder, fasta, name, count):
    pieces = records(fasta.removeprefix(b">"))
    if len(pieces) < count:
        raise g.Failure(f"a database of {len(pieces)} pieces is too small for {count} segments")
    for i in range(count):
        path = folder / f"{name}{i + 1}.pieces"
        path.write_bytes(b"\n".join(pieces[i::count]) + b"\n")
        done = subprocess.run(["makeblastdb", "-in", path, "-dbtype", "nucl", "-out", folder / f"{name}{i + 1}", "-title", f"{name}{i + 1}"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise g.Failure(f"makeblastdb: {done.stdout}{done.stderr}")
        path.unlink()


def cpu_seconds_of(process, output):
    """Runs it to its end here. CPU seconds of it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(output, "wb") as out:
        subprocess.run(process.command(), stdout=out, check=True, env={**os.environ, **environment()}, cwd=output.parent)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_queries(build, folder, base, processes, work, seed):
    """As many as make `work` CPU seconds of a process."""
    first = processes[0]
    first.queries.write_bytes(mutate(build, base, "queries", "--seed", seed, "--count", CALIBRATION, "--length", QUERY_BASES))
    each = cpu_seconds_of(first, folder / "calibration") / CALIBRATION
    count = max(20, round(work / each))
    first.queries.write_bytes(mutate(build, base, "queries", "--seed", seed, "--count", count, "--length", QUERY_BASES))
    return count


def reference(processes, limits):
    """All of them beside each other, as on the nodes but nobody moves them. Their reports are what others must equal."""
    running = {}
    for i, p in enumerate(processes):
        out = open(p.report.with_suffix(".part"), "wb")
        child = subprocess.Popen(p.command(), stdout=out, env={**os.environ, **environment()}, cwd=p.segment.parent,
                                 preexec_fn=lambda i=i: limits.enter(i))
        out.close()
        running[child.pid] = (p, child)
    while running:
        pid, status, usage = os.wait4(-1, 0)
        if pid not in running:
            continue
        p, child = running.pop(pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise g.Failure(f"{p.name} ended with {child.returncode}")
        p.work = usage.ru_utime + usage.ru_stime
        p.report.with_suffix(".part").rename(p.report)


def prepare(build, folder, scale, bases, limits, say):
    """The processes, with their data in `folder`. `limits`: where reference runs go (sites.Limits)."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = {name: [Process(name, i + 1, folder) for i in range(count)] for name, count, _ in APPLICATIONS}
    everything = [p for group in processes.values() for p in group]
    # Reports name their database by its path: a copy of the directory has to be made anew.
    wanted = {"folder": str(folder), "scale": scale, "bases": bases, "applications": [list(a) for a in APPLICATIONS], "nice": list(NICE)}
    made = folder / "made.json"
    try:
        known = json.loads(made.read_text())
    except (OSError, ValueError):
        known = {}
    if {k: known.get(k) for k in wanted} != wanted:
        made.unlink(missing_ok=True)
        say(f"growing a database of {bases} bases, in segments for each application")
        base = genome(folder)
        fasta = mutate(build, base, "database", "--seed", 1, "--bases", bases)
        known = {**wanted, "queries": {}, "work": {}}
        for seed, (name, count, work) in enumerate(APPLICATIONS, start=2):
            make_segments(folder, fasta, name, count)
            known["queries"][name] = make_queries(build, folder, base, processes[name], work * scale, seed)
        say("the searches, never moved: " + ", ".join(f"{len(processes[n])} of {n} with {q} queries each" for n, q in known["queries"].items()))
        reference(everything, limits)
        known["work"] = {p.name: p.work for p in everything}
        made.write_text(json.dumps(known, indent=1))
    for p in everything:
        p.work = known["work"][p.name]
    return everything


def hits(report):
    return sum(1 for line in report.read_bytes().splitlines() if line and not line.startswith(b"#"))


def queries_done(text):
    return len(re.findall(r"^# Query", text, re.MULTILINE))
