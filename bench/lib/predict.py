"""The simulator's answer to what bench/grid measures: the same nodes, processes, events and policies, with inputs that are known
before the run that is predicted, or are measured on something else than what is compared:

    work of each process        CPU seconds of the reference runs, and what starting a unit takes (costs.json)
    speed of the nodes          their limits, less what daemons and keepers take of them (costs.json), times what the machine
                                gave of the limits in the first stages, before any move: neighbours may take the rest
    cost of a move              CPU seconds on either node, freeze and waiting of moves of searches that stand still, on two
                                nodes that do nothing else (costs.json)

What is compared: the makespan, the end of each application, and the number of moves.
"""
import csv
import json
import os
import statistics
import subprocess
import time

import blast
import grid as g
import sites

LIMIT = sites.NODES[0][2]
SLEEPERS, SEARCHES, LOOK_S = 4, 4, 4.0
# The searches have so much of their work behind them when they are moved, since their memory is to be that of the middle of their
# lives. Each is moved once: what was moved and hasn't run since has less. A process can't be quicker than a CPU.
RUNS, HURRY = 0.4, 0.8
# Searches are niced: what serves them has 1024 of the scheduler's weight, they have 15.
WEIGHT = 1024 / 15


class Meter:
    """What the two nodes use beside the units' own work."""

    def __init__(self, grid):
        self.groups = {}
        for line in grid.call("grid", "members").splitlines()[1:]:
            name, _, daemon, _ = line.split()
            if name in grid.nodes:
                self.groups[name] = sites.Group(f"costs-{name}", LIMIT, 1)
                self.groups[name].add(int(daemon))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for group in self.groups.values():
            group.close()

    def look(self):
        return time.monotonic(), {name: group.seconds() for name, group in self.groups.items()}

    def rate(self, node):
        """CPU seconds a second of one node while nothing happens."""
        t0, before = self.look()
        time.sleep(LOOK_S)
        t1, after = self.look()
        return (after[node] - before[node]) / (t1 - t0)


def measure_costs(build, processes):
    """What units cost beside their work, in CPU seconds; all of it on nodes of a part of a processor, as in the experiment."""
    with g.Grid(build, 2) as grid, Meter(grid) as meter:
        first, second = grid.nodes
        idle = meter.rate(first)
        t0, before = meter.look()
        for _ in range(SLEEPERS):
            grid.call("run", "--node", first, "--", *blast.NICE, "/bin/sleep", "1000")
        t1, after = meter.look()
        start = (after[first] - before[first] - idle * (t1 - t0)) / SLEEPERS
        with_units = meter.rate(first)
        for unit in grid.json("ps"):
            grid.call("kill", unit["id"])
        for group in meter.groups.values():
            group.limit(HURRY)
        searches = processes[:SEARCHES]
        options = [word for key, value in blast.environment().items() for word in ("--env", f"{key}={value}")]
        for p in searches:
            grid.call("run", "--name", p.name, "--node", first, "--cwd", p.segment.parent, *options, "--", *p.command())
        time.sleep(RUNS * sum(p.work for p in searches) / HURRY)
        for p in searches:
            grid.call("signal", p.name, "STOP")
        for group in meter.groups.values():
            group.limit(LIMIT)
        moves = []
        for p in searches:
            t0, before = meter.look()
            report = grid.json("move", p.name, "--to", second)
            t1, after = meter.look()
            spent = [after[n] - before[n] - with_units * (t1 - t0) for n in (first, second)]
            moves.append((*spent, report["downtime_ms"] / 1000, report["total_ms"] / 1000, report["memory_bytes"]))
        middle = [statistics.median(values) for values in zip(*moves)]
    return {
        "build": stamp(build), "idle": idle, "unit": max(0.0, with_units - idle) / SLEEPERS, "start": max(0.0, start),
        "move_from": max(0.0, middle[0]), "move_to": max(0.0, middle[1]), "freeze_s": middle[2],
        "wait_s": max(0.0, middle[3] - middle[2] - max(middle[:2]) / LIMIT), "memory": middle[4],
    }


def stamp(build):
    at = os.stat(build / "bin" / "godwit-keeper")
    return f"{at.st_size}-{at.st_mtime_ns}"


def costs(build, folder, processes, say):
    """Measured once for each build."""
    path = folder / "costs.json"
    try:
        known = json.loads(path.read_text())
        if known.get("build") == stamp(build):
            return known
    except (OSError, ValueError):
        pass
    say("what moves and units cost beside the searches' own work")
    known = measure_costs(build, processes)
    path.write_text(json.dumps(known, indent=1))
    return known


def pace(outcomes):
    """Of the limits, what the machine gave in the first stages: nothing has moved yet, and all five nodes have work."""
    return min(1.0, statistics.median([o.stages[0].used / o.stages[0].capacity for o in outcomes]))


def scenario(processes, outcomes, cost, options):
    by_name = {p.name: p for p in processes}
    got = pace(outcomes)
    lines = [
        f"grid tick={options.looks:g} backbone=125M seed=1",
        f"moves live fixed={cost['freeze_s']:.4f} setup={cost['wait_s']:.4f} cpu_from={cost['move_from']:.4f} cpu_to={cost['move_to']:.4f} "
        f"weight={WEIGHT:.0f} at_once=4",
        "set max_moves=0",
    ]
    per_node = len(processes) / sum(1 for n in sites.NODES if not n[4])
    for name, site, cpus, _, later in sites.NODES:
        speed = max(0.1 * cpus, cpus * got - cost["idle"] - per_node * cost["unit"])
        lines.append(f"node {name} speed={speed:.5f} cpus=1 site={site} memory=2G{' later' if later else ''}")
    for name, _, _, units, _ in sites.NODES:
        for unit in units:
            lines.append(f"job {unit} work={by_name[unit].work + cost['start']:.3f} memory={cost['memory']:.0f} dirty=1M on={name}")
    lines.append(f"at {options.join:g} join {','.join(sites.LATER)}")
    lines.append(f"at {options.leave:g} leave {','.join(sites.LATER)} notice=600")
    return "\n".join(lines) + "\n"


def simulate(build, *words):
    return subprocess.run([build / "bin" / "godwit-sim", *words], capture_output=True, text=True)


def unknown(build, policy):
    """What is wrong with a policy's name, or nothing."""
    done = subprocess.run([build / "bin" / "godwit-sim", "/dev/stdin", "--policy", policy], input="node a\njob j work=1\n", capture_output=True,
                          text=True)
    return done.stderr.strip().removeprefix("godwit: ") if done.returncode != 0 else None


def predict(options, processes, outcomes, cost):
    """policy → row of the simulator's CSV; None when this build has no simulator."""
    if not (options.build / "bin" / "godwit-sim").exists():
        return None
    source, table, stages = (options.output / name for name in ("grid.sim", "simulated.csv", "simulated-stages.csv"))
    source.write_text(scenario(processes, outcomes, cost, options))
    policies = list(dict.fromkeys(o.policy for o in outcomes))
    done = simulate(options.build, source, "--policy", ",".join(policies), "--csv", table, "--stages", stages)
    if done.returncode != 0:
        raise g.Failure(f"godwit-sim: {done.stdout}{done.stderr}")
    with open(table, newline="") as file:
        return {policy: row for policy, row in zip(policies, csv.DictReader(file))}
