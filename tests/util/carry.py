"""What the runners of tests/cr and tests/programs share: a program is started, stopped, restored or moved at random
moments, and its output compared with that of an undisturbed run.

A *subject* is one program of a test:
    name                         for messages and the work directory
    needs, excluded, refused     what its header says (see tests/cr/README.md)
    files                        names in its work directory that are compared too
    prepare(directory)           puts its inputs there
    command(options, plain)      argv; `plain` is the reference run, which need not be slow
    environment(options, plain)  variables to add
    is_ready(output)             from here on a checkpoint may come
    check_reference(output)      raises Failure when the reference itself is wrong
    length(run)                  seconds from ready to the end, about
"""
import argparse
import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NODES = ["node-1", "node-2", "node-3"]


class Failure(Exception):
    """The program or Godwit did something wrong."""


class Skip(Exception):
    """This machine can't run the test."""


class Ended(Exception):
    """The program ended before its checkpoint."""


class Refused(Exception):
    """The refusal that the program's header asks for was given."""


def cpu_has(flag):
    return re.search(rf"^flags\s*:.*\b{flag}\b", pathlib.Path("/proc/cpuinfo").read_text(), re.M) is not None


# What `needs:` may name, and what is printed when it is missing. Other words are programs to be found in PATH.
NEEDS = {
    "root": (lambda: os.geteuid() == 0, "root"),
    "avx2": (lambda: cpu_has("avx2"), "a CPU with AVX2"),
    "avx512": (lambda: cpu_has("avx512f"), "a CPU with AVX-512"),
    "amx": (lambda: cpu_has("amx_tile"), "a CPU with AMX"),
    "thp": (
        lambda: "[never]" not in read("/sys/kernel/mm/transparent_hugepage/enabled", "[never]"),
        "transparent huge pages",
    ),
    "numpy": (
        lambda: subprocess.run(["/usr/bin/python3", "-c", "import numpy"], capture_output=True).returncode == 0,
        "python3-numpy",
    ),
}


def read(path, otherwise=""):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return otherwise


def read_bytes(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def tail(path, size=2000):
    return read_bytes(path)[-size:].decode(errors="replace")


class Header:
    """The `key: value` lines in the comment at the top of a program."""

    def __init__(self, source, mark):
        self.what, self.needs, self.excluded, self.refused, self.files = "", [], {}, {}, []
        for line in source.read_text().splitlines():
            if line.startswith("#!"):
                continue
            if not line.startswith(mark):
                break
            key, _, value = line[len(mark) :].strip().partition(":")
            value = value.strip()
            if key in ("cr", "what"):
                self.what = value
            elif key == "needs":
                self.needs += value.split()
            elif key == "files":
                self.files += value.split()
            elif key == "not":
                modes, _, reason = value.partition(":")
                for mode in modes.split():
                    self.excluded[mode] = reason.strip() or "not meant for this mode"
            elif key == "refused":
                modes, _, code = value.partition(":")
                for mode in modes.split():
                    self.refused[mode] = code.strip()
        if "move" in self.refused:
            self.refused.setdefault("lazy", self.refused["move"])

    def slow_down(self, options):
        """A machine too busy to act on it before it ends: from the next start on it shall take longer, if it can."""

    def check_needs(self, mode):
        if mode in self.excluded:
            raise Skip(f"{mode}: {self.excluded[mode]}")
        for need in self.needs:
            available, name = NEEDS.get(need, (lambda: shutil.which(need) is not None, need))
            if not available():
                raise Skip(f"needs {name}")


class Run:
    """Work directory, clock and seed of one test."""

    def __init__(self, options, subject):
        self.options = options
        self.subject = subject
        self.godwit = options.build / "bin" / "godwit"
        self.random = random.Random(options.seed)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix=f"godwit-{subject.name}-"))
        self.process = None
        self.reference_seconds = 0.0
        self.downtimes = []  # of the moves made, in milliseconds
        self.deadline = time.monotonic() + options.timeout

    def say(self, text):
        if self.options.verbose:
            print(f"[{time.monotonic():.3f}] {text}", flush=True)

    def environment(self, plain):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CR_", "GODWIT_"))}
        environment.update(self.subject.environment(self.options, plain))
        return environment

    def left(self):
        return max(0.1, self.deadline - time.monotonic())

    def wait_for(self, what, condition, poll=0.002):
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > self.deadline:
                raise Failure(f"timed out waiting for {what}")
            time.sleep(poll)

    def call(self, *arguments, ok=(0,)):
        """A godwit command: its output; a failure says what was called and what it answered."""
        self.say("godwit " + " ".join(map(str, arguments)))
        try:
            done = subprocess.run(
                [self.godwit, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=self.left(),
                env=dict(os.environ, GODWIT_STATE=str(grid_state(self.options))),
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"godwit {' '.join(map(str, arguments))}: hung") from None
        if done.returncode not in ok:
            raise Failure(f"godwit {' '.join(map(str, arguments))}: exit {done.returncode}\n{said(done)}")
        if "logs" not in arguments:
            self.say(f"  -> {done.returncode} {said(done)}")
        return done

    def start(self, directory, output, plain):
        """Starts the program in its own session, output to a file; gives the Popen object."""
        directory.mkdir(exist_ok=True)
        self.subject.prepare(directory)
        with open(output, "ab") as out:
            command = self.subject.command(self.options, plain)
            if plain and os.geteuid() == 0:  # undisturbed by another test's names and ports
                command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command]
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=self.environment(plain),
            )
        return self.process

    def stop(self):
        """Ends what start() started, with all of its process group."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def reference(self):
        """What the undisturbed program prints."""
        directory, output = self.work / "dir", self.work / "out"
        began = time.monotonic()
        process = self.start(directory, output, plain=True)
        try:
            status = process.wait(self.left())
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failure(f"the plain run does not end:\n{tail(output)}") from None
        self.reference_seconds = time.monotonic() - began
        if status == 77:
            raise Skip(re.sub(r"(?s).*SKIP: (.*?)\n.*", r"\1", read(output)))
        if status != 0:
            raise Failure(f"the plain run ended with status {status}:\n{tail(output)}")
        self.expected = output.read_bytes()
        self.subject.check_reference(self.expected)
        self.expected_files = {name: (directory / name).read_bytes() for name in self.subject.files}
        # The same paths again for the run under test: they may occur in the output.
        shutil.rmtree(directory)
        output.unlink()

    def compare(self, output, directory=None, what="the output"):
        found = output if isinstance(output, bytes) else output.read_bytes()
        if found != self.expected:
            ours, theirs = found.split(b"\n"), self.expected.split(b"\n")
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            shown = b"\n".join(ours[max(0, at - 3) : at + 12]).decode(errors="replace")
            wanted = theirs[at].decode(errors="replace") if at < len(theirs) else "(end)"
            raise Failure(f"{what} differs from the plain run at line {at + 1}; wanted: {wanted}\nfound:\n{shown}")
        for name, content in self.expected_files.items() if directory else ():
            if (directory / name).read_bytes() != content:
                raise Failure(f"the file {name} differs from the plain run")

    def moment(self, share):
        """Sleeps to a random moment of the next `share` of what the program still runs."""
        time.sleep(self.random.uniform(0.02, 1) * self.subject.length(self) * share)


def said(done):
    return (done.stdout[-3000:] + done.stderr[-3000:]).decode(errors="replace").strip()


# --- modes without a grid: godwit checkpoint --pid, godwit restore -----------------------------------------------------


def enter_namespaces():
    """This process becomes init of a fresh PID, mount, IPC and network namespace (through a fork): PIDs are free again after
    a kill, nothing that the test leaves behind outlives it, and two tests don't meet in their names and ports."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    clone_newns, clone_newipc, clone_newpid, clone_newnet = 0x00020000, 0x08000000, 0x20000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(clone_newns | clone_newipc | clone_newpid | clone_newnet) != 0:
        raise Skip("needs namespaces: " + os.strerror(ctypes.get_errno()))
    child = os.fork()
    if child != 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
        _, status = os.waitpid(child, 0)
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def others_alive():
    """PIDs in this namespace other than this process. As init it first collects what was re-parented to it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def tree_is_gone(run):
    run.wait_for("the tree's end", lambda: not others_alive())


def has_ended(done):
    """Whether it failed because the program was quicker."""
    return done.returncode != 0 and any(end in said(done) for end in ("has ended", "at its end"))


def refused_as_wanted(run, done):
    """Compares with what the header asks for; raises Refused or Failure, or returns when no refusal is wanted (or none could
    come, since the program has ended)."""
    wanted = run.subject.refused.get(run.options.mode)
    if not wanted or has_ended(done):
        return
    if done.returncode == 3 and wanted in said(done):
        raise Refused()
    raise Failure(f"wanted a refusal '{wanted}', got exit {done.returncode}\n{said(done)}")


def checkpoint(run, pid, image, leave=False):
    done = run.call("checkpoint", "--pid", pid, "-o", image, *(["--leave-running"] if leave else []), ok=range(0, 256))
    refused_as_wanted(run, done)
    if has_ended(done):
        raise Ended()
    if done.returncode != 0:
        raise Failure(f"checkpoint: exit {done.returncode}\n{said(done)}")


class Restored:
    """A `godwit restore` that runs until its program ends."""

    def __init__(self, run, image, output):
        self.run, self.output = run, output
        self.log = run.work / "restore.log"
        self.pidfile = run.work / "pid"
        self.pidfile.unlink(missing_ok=True)
        command = [run.godwit, "restore", image, "--pids", "keep", "--pidfile", self.pidfile]
        run.say(" ".join(map(str, command)))
        with open(self.log, "wb") as log:
            # As many a supervisor starts its children: that must not take the program's exit status from godwit.
            ignored = lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=ignored)

    def pid(self):
        """Of the restored root process; None when it has ended already."""
        self.run.wait_for("the pid file", lambda: read(self.pidfile).strip() or self.process.poll() is not None)
        if self.process.poll() is not None:
            if self.process.returncode != 0:
                raise Failure(f"restore: exit {self.process.returncode}\n{tail(self.log)}\noutput:\n{tail(self.output)}")
            return None
        return int(read(self.pidfile))

    def wait(self):
        try:
            status = self.process.wait(self.run.left())
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"the restored program does not end:\n{tail(self.output)}\n{tail(self.log)}") from None
        return status

    def finish(self, directory):
        status = self.wait()
        if status != 0:
            raise Failure(f"restore: exit {status}\n{tail(self.log)}\noutput:\n{tail(self.output)}")
        self.run.compare(self.output, directory)


def checkpoint_at_a_moment(run, directory, output, image, share, leave):
    """Starts the program and checkpoints it at a random moment. The machine may be busier or idler than during the undisturbed
    run: a program that ended meanwhile is started again, to be checkpointed earlier."""
    while True:
        process = run.start(directory, output, plain=False)
        run.wait_for("`ready`", lambda: run.subject.is_ready(read_bytes(output)) or process.poll() is not None)
        run.moment(share)
        if process.poll() is None:
            try:
                checkpoint(run, process.pid, image, leave)
                return process
            except Ended:
                process.wait(run.left())
        if process.returncode != 0 or share < 0.02:
            raise Failure(f"the program ended before its checkpoint with status {process.returncode}:\n{tail(output)}")
        run.compare(output, directory, "the output before any checkpoint")
        share /= 2
        run.subject.slow_down(run.options)
        shutil.rmtree(directory)
        shutil.rmtree(image, ignore_errors=True)
        output.unlink()


def stop_and_restore(run, mode):
    enter_namespaces()
    run.reference()
    directory, output, image = run.work / "dir", run.work / "out", run.work / "image"
    share = 0.9 if mode != "restore3" else 0.3
    try:
        process = checkpoint_at_a_moment(run, directory, output, image, share, leave=mode == "leave")
    except Refused:
        # A refusal touches nothing: the program goes on.
        if run.process.wait(run.left()) != 0:
            raise Failure("the program did not survive the refusal") from None
        run.compare(output, directory, "the output after the refusal")
        return
    if mode == "leave":
        if process.wait(run.left()) != 0:
            raise Failure(f"the program was disturbed: status {process.returncode}\n{tail(output)}")
        run.compare(output, directory, "the output of the program left running")
        return
    process.wait(run.left())
    tree_is_gone(run)

    if mode == "restore2":
        # Twice from the same image: the files go back to what they were, as `godwit` does for a unit's own directory.
        saved = run.work / "saved"
        saved.mkdir()
        subprocess.run(["cp", "-a", directory, output, saved], check=True)
        Restored(run, image, output).finish(directory)
        tree_is_gone(run)
        rollback(run, saved)
        Restored(run, image, output).finish(directory)
        return
    # Restored, and (restore3) checkpointed twice more on the way.
    for again in range(2 if mode == "restore3" else 0):
        restored = Restored(run, image, output)
        pid = restored.pid()
        image = run.work / f"image{again + 2}"
        try:
            if pid is not None:
                run.moment(0.3)
            if restored.process.poll() is not None:
                raise Ended()
            checkpoint(run, pid, image)
        except Ended:
            run.say("ended before the next checkpoint")
            restored.finish(directory)
            return
        restored.wait()
        tree_is_gone(run)
    Restored(run, image, output).finish(directory)


def rollback(run, saved):
    """Puts contents back in place: the files stay the same inodes, as on a disk that was rolled back."""
    for file in sorted((saved / "dir").rglob("*")):
        target = run.work / "dir" / file.relative_to(saved / "dir")
        if file.is_file() and not file.is_symlink() and target.is_file():
            with open(target, "r+b") as out:
                out.truncate(0)
                out.write(file.read_bytes())
        elif not os.path.lexists(target):
            subprocess.run(["cp", "-a", file, target], check=True)
    for file in sorted((run.work / "dir").rglob("*"), reverse=True):
        if not os.path.lexists(saved / "dir" / file.relative_to(run.work / "dir")):
            if file.is_dir() and not file.is_symlink():
                file.rmdir()
            else:
                file.unlink()
    with open(run.work / "out", "r+b") as out:
        out.truncate(0)
        out.write((saved / "out").read_bytes())


# --- modes on a grid ---------------------------------------------------------------------------------------------------


def grid_state(options):
    return options.build / "test-grid"


def check_grid_possible(options):
    if os.geteuid() != 0:
        raise Skip("needs root (for an embedded grid)")
    if not (options.build / "bin" / "godwit").exists():
        raise Skip("godwit is not built")


def grid_command(options, *arguments, timeout=90):
    godwit = options.build / "bin" / "godwit"
    return subprocess.run(
        [godwit, *arguments],
        env=dict(os.environ, GODWIT_STATE=str(grid_state(options))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
    )


def grid_up(options):
    check_grid_possible(options)
    grid_command(options, "down")
    done = grid_command(options, "up", "--nodes", str(len(NODES)))
    if done.returncode != 0:
        raise Failure(f"godwit up: exit {done.returncode}\n{said(done)}")


def grid_down(options):
    check_grid_possible(options)
    done = grid_command(options, "down")
    if done.returncode != 0:
        raise Failure(f"godwit down: exit {done.returncode}\n{said(done)}")


def grid_modes(run, mode):
    check_grid_possible(run.options)
    run.reference()
    started_here = False
    if grid_command(run.options, "nodes").returncode != 0:
        grid_up(run.options)
        started_here = True
    try:
        # As in checkpoint_at_a_moment: a program that ended before its first move is started again.
        share = 0.9
        while not run_and_move(run, mode, share):
            share /= 2
            run.subject.slow_down(run.options)
            if share < 0.02:
                raise Failure("the program always ends before its first move")
            shutil.rmtree(run.work / "dir")
    finally:
        if started_here:
            grid_down(run.options)


def run_and_move(run, mode, share):
    """Whether it was moved at least once (or refused as it should be) before it ended; its output is right in any case."""
    unit, refused = None, False

    def on_grid(*arguments, **options):
        return run.call(*arguments, **options)

    def output():
        return on_grid("logs", unit).stdout

    try:
        directory = run.work / "dir"
        directory.mkdir()
        run.subject.prepare(directory)
        places = [run.random.choice(NODES)]
        # env(1) execs the program: the unit's first process is the program itself.
        variables = [f"{k}={v}" for k, v in run.subject.environment(run.options, False).items()]
        command = ["/usr/bin/env", *variables, *run.subject.command(run.options, False)]
        unit = on_grid("run", "--node", places[0], "--dir", directory, "--cwd", directory, "--", *command).stdout.decode().split()[-1]
        run.wait_for("`ready`", lambda: run.subject.is_ready(output()) or unit_ended(on_grid, unit), poll=0.02)
        if not run.subject.is_ready(output()):
            raise Failure(f"the program ended before it was ready:\n{output()[-2000:].decode(errors='replace')}")
        moves = 3 if mode == "move3" else 1
        how = ["--lazy"] if mode == "lazy" else []
        for _ in range(moves):
            run.moment(share / moves)
            places.append(run.random.choice([node for node in NODES if node != places[-1]]))
            done = on_grid("move", unit, "--to", places[-1], *how, "--json", ok=range(0, 256))
            try:
                refused_as_wanted(run, done)
            except Refused:
                refused = True
                break
            if done.returncode == 0:
                run.downtimes.append(json.loads(done.stdout)["downtime_ms"])
            else:
                if has_ended(done) or unit_ended(on_grid, unit):
                    run.say("ended before the move")
                    break
                raise Failure(f"move {' -> '.join(places)}: exit {done.returncode}\n{said(done)}\noutput:\n{output()[-2000:].decode()}")
        done = on_grid("wait", unit, ok=range(0, 256))
        if done.returncode != 0:
            raise Failure(f"the unit ended with {done.returncode} ({said(done)}) after {' -> '.join(places)}:\n{output()[-2000:].decode()}")
        run.compare(output(), what=f"the output after {' -> '.join(places)}")
        unit = None
        return refused or bool(run.downtimes)
    finally:
        if unit:
            on_grid("kill", unit, ok=range(0, 256))


def unit_ended(on_grid, unit):
    return b"exited" in on_grid("show", unit, "--json", ok=range(0, 256)).stdout.lower()


def plain(run, _):
    run.reference()


MODES = {
    "plain": plain,
    "leave": stop_and_restore,
    "restore": stop_and_restore,
    "restore2": stop_and_restore,
    "restore3": stop_and_restore,
    "move": grid_modes,
    "move3": grid_modes,
    "lazy": grid_modes,
}


# --- the command line --------------------------------------------------------------------------------------------------


def parser(usage):
    options = argparse.ArgumentParser(usage=usage)
    options.add_argument("mode")
    options.add_argument("program", nargs="?")
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    options.add_argument("--timeout", type=float, default=90)
    options.add_argument("--keep", action="store_true")
    options.add_argument("--verbose", action="store_true")
    return options


def main(options, runner, subjects, make_subject):
    """`runner` is the path that repeats a test; `subjects` the names there are; `make_subject(name, options)`."""
    options.build = options.build.resolve()
    if options.mode == "list":
        for name in subjects:
            print(f"{name:28} {make_subject(name, options).what}")
        return 0
    if options.mode in ("grid-up", "grid-down"):
        try:
            (grid_up if options.mode == "grid-up" else grid_down)(options)
            return 0
        except Skip as reason:
            print(f"SKIP: {reason}")
            return 77
        except Failure as failure:
            print(failure)
            return 1
    if options.mode not in MODES or not options.program:
        print("wanted: MODE PROGRAM; modes: " + ", ".join(MODES), file=sys.stderr)
        return 2
    if options.program not in subjects:
        print(f"there is no program '{options.program}'; see {runner} list", file=sys.stderr)
        return 2
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    # A test driver that gives up on us must not leave the program behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    run = Run(options, make_subject(options.program, options))
    status = 1
    try:
        print(f"seed {options.seed}", flush=True)
        run.subject.check_needs(options.mode)
        if options.mode != "plain" and not run.godwit.exists():
            raise Skip("godwit is not built")
        MODES[options.mode](run, options.mode)
        moved = f", moved {len(run.downtimes)} times, down (ms): {' '.join(f'{t:.1f}' for t in run.downtimes)}"
        print("passed" + (moved if run.downtimes else ""))
        status = 0
    except Skip as reason:
        print(f"SKIP: {reason}")
        status = 77
    except Failure as failure:
        print(f"FAILED: {options.program} in mode {options.mode}: {failure}")
        print(f"to repeat: {runner} {options.mode} {options.program} --seed {options.seed} --verbose")
    finally:
        run.stop()
        if options.keep:
            print(f"kept: {run.work}")
        else:
            shutil.rmtree(run.work, ignore_errors=True)
    return status
