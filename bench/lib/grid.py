"""What the benchmarks share: an embedded grid in a directory of its own, and the command line on it."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Failure(Exception):
    """Godwit, or a program that it carries, did something wrong."""


class Answered(Failure):
    """A command of godwit ended with another status than 0."""

    def __init__(self, arguments, done):
        self.status = done.returncode
        text = (done.stdout + done.stderr)[-2000:].strip()
        super().__init__(f"godwit {' '.join(map(str, arguments))}: status {done.returncode}\n{text}")


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "?"


def missing_rights():
    return "needs root" if os.geteuid() != 0 else None


def check_possible(build):
    """Why this machine can't run a benchmark, or None."""
    if why := missing_rights():
        return why
    for program in ("godwit", "godwit-keeper", "bench/load", "bench/floor"):
        if not (build / "bin" / program).exists():
            return f"{program} is not built"
    return None


def wait_for(what, condition, limit=60.0, poll=0.005):
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"timed out waiting for {what}")
        time.sleep(poll)


class Grid:
    """`with Grid(build, nodes=2) as grid:` starts it; at the end of the scope nothing of it is left."""

    def __init__(self, build, nodes):
        self.program = build / "bin" / "godwit"
        self.nodes = [f"node-{i + 1}" for i in range(nodes)]
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="godwit-bench-"))

    def __enter__(self):
        try:
            self.call("up", "--nodes", len(self.nodes))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.call("down", "--purge", check=False)
        shutil.rmtree(self.state, ignore_errors=True)

    def call(self, *arguments, check=True, timeout=180):
        """A command's standard output; with check=False the finished process."""
        done = subprocess.run(
            [self.program, "--state", self.state, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            start_new_session=True,  # a Ctrl-C is for the benchmark, which decides what becomes of the command
        )
        if not check:
            return done
        if done.returncode != 0:
            raise Answered(arguments, done)
        return done.stdout

    def json(self, command, *arguments):
        return json.loads(self.call(command, "--json", *arguments))


def host_pid(mark):
    """The first process (seen from here) that has this word in its command line: parents come before children."""
    for name in sorted((n for n in os.listdir("/proc") if n.isdigit()), key=int):
        try:
            words = pathlib.Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/load") and mark.encode() in words:
            return int(name)
    return None


class CpuMeter:
    """CPU seconds of this process, all it starts, and all that they start: a cgroup of its own. None when the machine
    lets nobody make one."""

    def __init__(self):
        self.group = None
        for top, usage, scale in (
            ("/sys/fs/cgroup/cpuacct", "cpuacct.usage", 1e-9),
            ("/sys/fs/cgroup", "cpu.stat", 1e-6),
        ):
            group = pathlib.Path(top, f"godwit-bench-{os.getpid()}")
            try:
                group.mkdir()
                (group / "cgroup.procs").write_text(str(os.getpid()))
            except OSError:
                shutil.rmtree(group, ignore_errors=True)
                continue
            self.top, self.group, self.usage, self.scale = pathlib.Path(top), group, group / usage, scale
            return

    def seconds(self):
        if self.group is None:
            return None
        words = self.usage.read_text().split()
        return int(words[1] if words[0] == "usage_usec" else words[0]) * self.scale

    def close(self):
        """The processes that are left, if any, go back to where this one came from."""
        if self.group is None:
            return
        for pid in (self.group / "cgroup.procs").read_text().split():
            try:
                (self.top / "cgroup.procs").write_text(pid)
            except OSError:
                pass
        try:
            self.group.rmdir()
        except OSError as error:
            print(f"{self.group} stays: {error}", file=sys.stderr)
