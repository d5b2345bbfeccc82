"""One run of bench/grid: seven nodes, three applications on five of them, two nodes that join and leave again, one policy.

Time 0 is when the first process is started. The two nodes are up from the beginning but take nothing (drained) until they join
(uncordon): what their daemons cost is then the same in each stage. They leave with notice: `godwit drain` of both.

What was finished by a moment is each process's part of its queries read (`godwit plan` says so: it is what the policy believes),
less what it has read and not searched yet, times what it needed when nobody moved it. At the end every report must equal, byte
for byte, that of the reference run.
"""
import concurrent.futures
import dataclasses
import json
import os
import statistics
import time

import blast
import grid as g
import sites

SETTINGS = ("max_moves=0",)


@dataclasses.dataclass
class Move:
    unit: str
    source: str
    destination: str
    at: float  # seconds
    downtime_ms: float
    total_ms: float
    memory: int
    sent: int


@dataclasses.dataclass
class Stage:
    name: str
    begin: float
    end: float
    work: float  # finished in it
    capacity: float  # CPU seconds that the nodes had in it


@dataclasses.dataclass
class Outcome:
    policy: str
    run: int
    load1: float
    stages: list
    ends: dict  # process → seconds
    moves: list
    samples: list  # (seconds, {application: work finished})
    cpu_got: float  # of the limits of the nodes that had work, while they had it

    @property
    def makespan(self):
        return max(self.ends.values())

    @property
    def work(self):
        return sum(s.work for s in self.stages)

    @property
    def efficiency(self):
        return self.work / sum(s.capacity for s in self.stages)

    def moves_in(self, index):
        stage = self.stages[index]
        return sum(1 for m in self.moves if stage.begin <= m.at < stage.end)

    def median_ms(self, field):
        return statistics.median([getattr(m, field) for m in self.moves]) if self.moves else 0.0


class Run:
    """Use: Run(grid, processes, options).go(policy, number)."""

    def __init__(self, grid, processes, options):
        self.grid, self.processes, self.options = grid, processes, options
        self.by_name = {p.name: p for p in processes}
        self.began = 0.0
        self.samples, self.groups = [], {}

    def now(self):
        return time.time() - self.began

    def limit_nodes(self):
        for line in self.grid.call("grid", "members").splitlines()[1:]:
            name, _, daemon, _ = line.split()
            for node, _, cpus, _, _ in sites.NODES:
                if node == name:
                    self.groups[name] = sites.Group(name, cpus, self.options.weight)
                    self.groups[name].add(int(daemon))

        def seen():
            cpus = {n["name"]: n["cpus"] for n in self.grid.json("nodes", "--load")}
            return all(abs(cpus[name] - limit) < 0.02 for name, _, limit, _, _ in sites.NODES)

        g.wait_for("the nodes to notice their limits", seen, poll=0.2)

    def start(self, name, node):
        p = self.by_name[name]
        options = [word for key, value in blast.environment().items() for word in ("--env", f"{key}={value}")]
        self.grid.call("run", "--name", name, "--node", node, "--cwd", p.segment.parent, "--progress", f"reads:{p.queries}", *options,
                       "--", *p.command())

    def start_all(self):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            # In turn over the nodes, so that each has as many at a time as the others.
            rows = [[(unit, n[0]) for unit in n[3]] for n in sites.NODES]
            order = [row[i] for i in range(max(map(len, rows))) for row in rows if i < len(row)]
            for done in [pool.submit(self.start, *o) for o in order]:
                done.result()

    def sample(self):
        """Work finished by now, by application; and whether anything still runs."""
        plan = self.grid.json("plan")
        running = {u["name"]: u for u in plan["units"]}
        alive = {u["name"] for u in self.grid.json("ps") if u["state"] != "ended"}
        done = dict.fromkeys((a[0] for a in blast.APPLICATIONS), 0.0)
        for p in self.processes:
            part = 1.0
            if p.name in alive:
                unit = running.get(p.name)
                part = self.parts.get(p.name, 0.0)
                if unit and unit["source"] == "reads" and unit["total"] > 0:
                    part = min(1.0, max(0.0, unit["finished"] / unit["total"] - blast.read_ahead(p)))
            self.parts[p.name] = max(part, self.parts.get(p.name, 0.0))
            done[p.application] += self.parts[p.name] * p.work
        self.samples.append((self.now(), done))
        return bool(alive)

    def until(self, moment):
        """Samples until then. False when everything has ended."""
        while True:
            if not self.sample():
                return False
            left = moment - self.now()
            if left <= self.options.poll:
                time.sleep(max(0.0, left))
                return True
            time.sleep(self.options.poll)

    def drain(self, pool):
        """Beside the samples. A unit that ends just before its move is no failure, so what the commands say isn't asked."""
        for node in sites.LATER:
            pool.submit(self.grid.call, "drain", node, check=False, timeout=600)

    def go(self, policy, number):
        self.parts = {}
        load1 = os.getloadavg()[0]
        pool = concurrent.futures.ThreadPoolExecutor(len(sites.LATER))
        try:
            self.limit_nodes()
            for node in sites.LATER:
                self.grid.call("drain", node)
            self.grid.call("policy", "set", policy, *SETTINGS)
            self.began = time.time()
            used = self.usage()
            self.start_all()
            joined = left = None
            if self.until(self.options.join):
                self.sample()
                joined = self.now()
                for node in sites.LATER:
                    self.grid.call("uncordon", node)
                if self.until(self.options.leave):
                    self.sample()
                    left = self.now()
                    self.drain(pool)
            if not self.until(self.options.limit):
                return self.outcome(policy, number, load1, joined, left, used)
            raise g.Failure(f"{policy}: not done after {self.options.limit:.0f} s")
        finally:
            pool.shutdown()
            for group in self.groups.values():
                group.close()

    def usage(self):
        return {name: group.seconds() for name, group in self.groups.items()}

    def outcome(self, policy, number, load1, joined, left, used):
        ends, moves = {}, []
        for p in self.processes:
            shown = self.grid.json("show", p.name)
            if shown["exit"] != {"status": 0, "signal": 0}:
                raise g.Failure(f"{policy}: {p.name} ended with {json.dumps(shown['exit'])}: {self.grid.call('logs', p.name)[-300:]}")
            if self.grid.call("logs", p.name) != p.report.read_text():
                raise g.Failure(f"{policy}: the report of {p.name} isn't that of the search that nobody moved")
            ends[p.name] = shown["ended_ms"] / 1000 - self.began
            for m in shown["migrations"]:
                if m["state"] == "committed":
                    r = m["report"]
                    moves.append(Move(p.name, m["from"], m["to"], m["time_ms"] / 1000 - self.began, r["downtime_ms"], r["total_ms"],
                                      r["memory_bytes"], r["bytes_sent"]))
        makespan = max(ends.values())
        borders = [0.0] + [t for t in (joined, left) if t is not None and t < makespan] + [makespan]
        names = ("five nodes", "seven nodes", "five again")
        stages = [self.stage(names[i], borders[i], borders[i + 1], i == 1) for i in range(len(borders) - 1)]
        busy = {name: seconds - used[name] for name, seconds in self.usage().items()}
        got = sum(busy.values()) / sum(s.capacity for s in stages)
        return Outcome(policy, number, load1, stages, ends, moves, self.samples, got)

    def finished_at(self, moment):
        total = sum(p.work for p in self.processes)
        before = [(0.0, 0.0)] + [(t, sum(done.values())) for t, done in self.samples] + [(max(moment, self.samples[-1][0]) + 1e-9, total)]
        for (t0, w0), (t1, w1) in zip(before, before[1:]):
            if t0 <= moment <= t1:
                return w0 + (w1 - w0) * (moment - t0) / (t1 - t0 or 1)
        return total

    def stage(self, name, begin, end, extended):
        last = abs(end - max(self.samples[-1][0], end)) < 1e-9
        work = (sum(p.work for p in self.processes) if last else self.finished_at(end)) - self.finished_at(begin)
        return Stage(name, begin, end, work, sites.capacity(extended) * (end - begin))
