"""Real programs from Debian's source packages: compiled natively and by godwit cc through their own makefiles, run, moved, compared.

A script beside this one describes one program: how it is built with a given compiler, and what it is to do. To add a program:
a row in scripts/fetch-sources, a script like `bzip2`. ctest finds it.
"""
import argparse
import importlib.machinery
import importlib.util
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


def load_hop():
    loader = importlib.machinery.SourceFileLoader("hop", str(HERE.parent / "hop"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("hop", loader))
    loader.exec_module(module)
    return module


hop = load_hop()


class Program:
    name = ""  # of the source package
    needs = ()  # commands that its build uses

    def build(self, compiler, source, folder):
        """Builds in `source`, a copy of its own; the program's path in the end. `compiler` is one word for a shell."""
        raise NotImplementedError

    def prepare(self, plain, folder):
        """Puts into `folder` the files that the work needs. Called once."""

    def work(self):
        """Yields (title, arguments). All runs of one way are in one folder, so the later find what the earlier wrote."""
        raise NotImplementedError


def run(command, cwd):
    """A step of a build."""
    done = subprocess.run(command, shell=True, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command}: failed\n{done.stdout[-3000:]}")


def text(bytes_, seed):
    """So many bytes that compress like prose with tables between."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(1, 9))) for _ in range(3000)]
    lines = []
    while bytes_ > 0:
        line = " ".join(rng.choices(words, k=12)) if rng.random() < 0.8 else ",".join(str(rng.getrandbits(16)) for _ in range(12))
        lines.append(line)
        bytes_ -= len(line) + 1
    return ("\n".join(lines) + "\n").encode()


def build_one(program, way, compiler, source, folder):
    copy = folder / f"source-{way}"
    shutil.copytree(source, copy)
    begin = time.monotonic()
    path = program.build(compiler, copy, folder)
    print(f"{way}: built in {time.monotonic() - begin:.1f} s")
    return path


def code_size(path):
    lines = subprocess.run(["llvm-size-19", "-A", path], capture_output=True, text=True, check=True).stdout.splitlines()
    return next((int(l.split()[1]) for l in lines if l.startswith(".text")), 0)


def compare(program, plain, parts, folder, options):
    bad = moved = 0
    rng = random.Random(options.seed)
    for way in ("plain", "portable"):
        (folder / way).mkdir()
        program.prepare(plain, folder / way)
    for title, arguments in program.work():
        expected = subprocess.run([plain, *arguments], stdin=subprocess.DEVNULL, capture_output=True, cwd=folder / "plain",
                                  timeout=options.timeout)
        if expected.returncode:
            sys.exit(f"{title}: the native program fails: {expected.stderr[-500:]}")
        run = hop.Run(parts, arguments, folder / "portable", options.timeout)
        output = folder / "output"
        output.unlink(missing_ok=True)
        route = list(hop.WIDE)
        rng.shuffle(route)
        # It stops at any of the points it has, also the last ones: those of a first run are counted by halving.
        every = options.every or max(1, points(run, folder) / options.hops)
        stops, status = hop.hop(run, argparse.Namespace(hops=options.hops, every=every, route=route), rng, output)
        moved += len(stops)
        same = output.read_bytes() == expected.stdout and status == 0
        print(f"{title}: moved {len(stops)} times about every {every:g} points, status {status}, "
              f"{len(expected.stdout)} bytes {'equal' if same else 'DIFFER'}", flush=True)
        if not same:
            print(f"  route {','.join(route)}, stops {stops}")
            bad += 1
    for file in sorted((folder / "plain").iterdir()):
        if file.read_bytes() != (folder / "portable" / file.name).read_bytes():
            print(f"the file {file.name} DIFFERS")
            bad += 1
    return bad, moved


def points(run, folder):
    """About how many points a run comes to: the largest power of 4 at which it still stops. The run's files are put back."""
    before = folder / "before"
    shutil.copytree(run.folder, before)
    count = 16
    while True:
        status = run.start("x86_64", os.devnull, count)
        shutil.rmtree(run.folder)
        shutil.copytree(before, run.folder)
        if status is not None or count >= 1 << 30:
            break
        count *= 4
    shutil.rmtree(before)
    return count // 4


def main(program):
    parser = argparse.ArgumentParser(description=program.__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--hops", type=int, default=20)
    parser.add_argument("--every", type=float, help="points between two moves, about; else as many as let it move until its end")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--keep", type=pathlib.Path, help="the programs are put there, and found there the next time")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    compiler = options.build.resolve() / "bin/godwit-cc"
    for tool in ["clang-19", "make", "llvm-size-19", *program.needs, *(e[0] for e in hop.EMULATORS.values() if e)]:
        if not shutil.which(tool):
            hop.skip(f"needs {tool}")
    if not compiler.exists():
        hop.skip("needs a build with the portable engine (llvm-19-dev)")
    if subprocess.run([ROOT / "scripts/fetch-sources", program.name], capture_output=True).returncode:
        hop.skip(f"needs the source package {program.name}")
    source = ROOT / "build/sources" / program.name
    with tempfile.TemporaryDirectory(prefix="godwit-real.") as name:
        folder = pathlib.Path(name)
        kept = options.keep.resolve() if options.keep else folder / "kept"
        plain, parts = kept / "plain", kept / "parts"
        if not plain.exists():
            parts.mkdir(parents=True, exist_ok=True)
            built = build_one(program, "portable", f"{compiler} --keep {parts}", source, folder)
            shutil.copy(built, kept / "portable")
            shutil.copy(build_one(program, "plain", "clang-19 -fsigned-char -ffp-contract=off", source, folder), plain)
        print(f"code: {code_size(plain)} bytes natively, {code_size(parts / 'x86_64')} in the part for x86_64")
        bad, moved = compare(program, plain, parts, folder, options)
    if not moved:
        print("it never stopped: too few adaptation points")
    return 1 if bad or not moved else 0
