"""The machines of bench/grid: seven nodes at two sites of unequal speed, made of parts of this machine's processors.

A node is slow because its control group may use only so much of a processor; its daemon, its keepers and its units are all in
that group, so moving costs a slow node more than a fast one, as it would. A group weighs as much as one ordinary process, so
what else runs here is not disturbed more than by one process for each node; on a busy machine it may then not get what its limit
allows. `--weight 8` lets the limits decide, at the neighbours' cost. What the nodes were given, of what the limits allow, is in the
results (`cpu_got`).

Why a period of 20 ms: with the usual 100 ms a node of a tenth of a processor answers nobody for 90 ms, which no slow machine
does.
"""
import os
import pathlib

import grid as g

PERIOD_US = 20_000
# Name, site, part of a processor, processes of X, Y and Z that start there, and whether it joins later. The two sites' ratio is
# that of the paper's; the first placement gives each node about what it can do, so that what is gained is the new nodes' work.
NODES = (
    ("node-1", "east", 0.16, ("X1", "X6", "Y1", "Z1"), False),
    ("node-2", "east", 0.16, ("X2", "X7", "Y2", "Z2"), False),
    ("node-3", "east", 0.16, ("X3", "X8", "Y3", "Z3"), False),
    ("node-4", "west", 0.10, ("X4", "Y4", "Z4"), False),
    ("node-5", "west", 0.10, ("X5", "Y5", "Y6"), False),
    ("node-6", "east", 0.16, (), True),
    ("node-7", "west", 0.10, (), True),
)
LATER = tuple(n[0] for n in NODES if n[4])


def capacity(later):
    """CPU seconds per second, with the nodes that join later or without."""
    return sum(n[2] for n in NODES if later or not n[4])


class Group:
    """A control group (version 1 or 2) of so much of a processor."""

    def __init__(self, name, cpus, weight):
        self.cpus, self.folders = cpus, []
        own = f"godwit-bench-{os.getpid()}-{name}"
        top = pathlib.Path("/sys/fs/cgroup")
        if (top / "cpu" / "cpu.shares").exists():
            # Time is counted in a hierarchy of its own, if it isn't the same one.
            self.folders = [top / "cpu" / own, top / "cpuacct" / own]
            settings = (("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.shares", str(1024 * weight)))
            self.usage, self.scale, self.word = self.folders[1] / "cpuacct.usage", 1e-9, 0
        else:
            self.folders = [top / own]
            settings = (("cpu.weight", str(100 * weight)),)
            self.usage, self.scale, self.word = self.folders[0] / "cpu.stat", 1e-6, 1
        try:
            for folder in self.folders:
                folder.mkdir(exist_ok=True)
            for name, value in settings:
                (self.folders[0] / name).write_text(value)
            self.limit(cpus)
        except OSError as error:
            self.close()
            raise g.Failure(f"no control group for CPUs: {error}") from error

    def limit(self, cpus):
        quota = int(cpus * PERIOD_US)
        if len(self.folders) == 2:
            (self.folders[0] / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.folders[0] / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def add(self, pid):
        """What it starts from now on is in it, too."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def seconds(self):
        return int(self.usage.read_text().split()[self.word]) * self.scale

    def close(self):
        """Its members, if any are left, go to the group above."""
        for folder in self.folders:
            try:
                for pid in (folder / "cgroup.procs").read_text().split():
                    (folder.parent / "cgroup.procs").write_text(pid)
                folder.rmdir()
            except OSError:
                pass


class Limits:
    """Groups for the reference runs, like those of the nodes that are there from the beginning, used in turn."""

    def __init__(self, weight):
        self.weight = weight

    def __enter__(self):
        self.groups = [Group(f"reference-{n[0]}", n[2], self.weight) for n in NODES if not n[4]]
        return self

    def enter(self, i):
        self.groups[i % len(self.groups)].add(os.getpid())

    def __exit__(self, *_):
        for group in self.groups:
            group.close()
