"""One run of bench/grid: seven nodes, three applications on five of them, two nodes that join and leave again, one policy.

Time 0 is when the first process is started. The two nodes are up from the beginning but take nothing (drained) until they join
(uncordon): what their daemons cost is then the same in each stage. They leave with notice: `godwit node leave` of both, which
the policy answers with one plan.

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

# Looks at the load beside the two events would be moves of neither: off unless they are asked for.
SETTINGS = ("max_moves=0",)
NOTICE = "10m"  # more than any run has left


NAMES = ("five nodes", "seven nodes", "five again")


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
    used: float  # CPU seconds that those nodes used, whatever for


@dataclasses.dataclass
class Outcome:
    policy: str
    run: int
    load1: float
    stages: list
    makespan: float  # seconds until the last process has ended
    moves: list
    samples: list  # (seconds, {application: work finished})
    commit: str  # of the program that was measured

    @property
    def cpu_got(self):
        """Of the limits of the nodes, what they used."""
        return sum(s.used for s in self.stages) / sum(s.capacity for s in self.stages)

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
    """Use: Run(grid, processes, options, tell).go(policy, number). `tell(seconds, stage, part done)` after each sample."""

    def __init__(self, grid, processes, options, tell):
        self.grid, self.processes, self.options, self.tell = grid, processes, options, tell
        self.stage_name = NAMES[0]
        self.whole = sum(p.work for p in processes)
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
        self.tell(self.now(), self.stage_name, sum(done.values()) / self.whole)
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

    def each_later(self, pool, *words):
        """Both at once: nodes that come or go within a look (half a second) are decided about together."""
        for done in [pool.submit(self.grid.call, *words[:-1], node, *words[-1]) for node in sites.LATER]:
            done.result()

    def go(self, policy, number):
        self.parts = {}
        load1 = os.getloadavg()[0]
        pool = concurrent.futures.ThreadPoolExecutor(len(sites.LATER))
        try:
            self.limit_nodes()
            for node in sites.LATER:
                self.grid.call("drain", node)
            self.grid.call("policy", "set", policy, *SETTINGS, f"look_s={self.options.looks:g}")
            self.began = time.time()
            borders = [(0.0, self.usage())]
            self.start_all()
            if self.until(self.options.join):
                self.sample()
                borders.append((self.now(), self.usage()))
                self.stage_name = NAMES[1]
                self.each_later(pool, "uncordon", ())
                if self.until(self.options.leave):
                    self.sample()
                    borders.append((self.now(), self.usage()))
                    self.stage_name = NAMES[2]
                    self.each_later(pool, "node", "leave", ("--in", NOTICE))
            if not self.until(self.options.limit):
                return self.outcome(policy, number, load1, borders)
            raise g.Failure(f"{policy}: not done after {self.options.limit:.0f} s")
        finally:
            pool.shutdown()
            for group in self.groups.values():
                group.close()

    def usage(self):
        return {name: group.seconds() for name, group in self.groups.items()}

    def outcome(self, policy, number, load1, borders):
        used, ends, moves = self.usage(), [], []
        for p in self.processes:
            shown = self.grid.json("show", p.name)
            if shown["exit"] != {"status": 0, "signal": 0}:
                raise g.Failure(f"{policy}: {p.name} ended with {json.dumps(shown['exit'])}: {self.grid.call('logs', p.name)[-300:]}")
            if self.grid.call("logs", p.name) != p.report.read_text():
                raise g.Failure(f"{policy}: the report of {p.name} isn't that of the search that nobody moved")
            ends.append(shown["ended_ms"] / 1000 - self.began)
            for m in shown["migrations"]:
                if m["state"] == "committed":
                    r = m["report"]
                    moves.append(Move(p.name, m["from"], m["to"], m["time_ms"] / 1000 - self.began, r["downtime_ms"], r["total_ms"],
                                      r["memory_bytes"], r["bytes_sent"]))
        makespan = max(ends)
        borders = [b for b in borders if b[0] < makespan] + [(makespan, used)]
        stages = []
        for i, ((begin, before), (end, after)) in enumerate(zip(borders, borders[1:])):
            last = i + 2 == len(borders)
            work = (self.whole if last else self.finished_at(end)) - self.finished_at(begin)
            spent = sum(after[n[0]] - before[n[0]] for n in sites.NODES if i == 1 or not n[4])
            stages.append(Stage(NAMES[i], begin, end, work, sites.capacity(i == 1) * (end - begin), spent))
        return Outcome(policy, number, load1, stages, makespan, moves, self.samples, g.commit())

    def finished_at(self, moment):
        total = self.whole
        before = [(0.0, 0.0)] + [(t, sum(done.values())) for t, done in self.samples] + [(max(moment, self.samples[-1][0]) + 1e-9, total)]
        for (t0, w0), (t1, w1) in zip(before, before[1:]):
            if t0 <= moment <= t1:
                return w0 + (w1 - w0) * (moment - t0) / (t1 - t0 or 1)
        return total
