"""The simulator's answer to what bench/grid measures: the same nodes, processes, events and policies, with inputs that are known
before the run that is predicted, or are measured on something else than what is compared:

    work of each process        CPU seconds of the reference runs
    speed of the nodes          their limit times `pace`: what the first stages (before any move) made of the limits; less than 1
                                as daemons need some of it, and neighbours may
    start, setup and freeze     medians of the runs' moves

What is compared: the makespan, the end of each application, and the number of moves.
"""
import csv
import statistics
import subprocess

import blast
import grid as g
import sites


def pace(outcomes):
    """Of the limits, the part that became finished work before anything moved."""
    return statistics.median([o.stages[0].work / o.stages[0].capacity for o in outcomes])


def scenario(processes, outcomes, join, leave, looks):
    by_name = {p.name: p for p in processes}
    moves = [m for o in outcomes for m in o.moves]
    setup = statistics.median([(m.total_ms - m.downtime_ms) / 1000 for m in moves]) if moves else 0.5
    freeze = statistics.median([m.downtime_ms / 1000 for m in moves]) if moves else 0.02
    memory = statistics.median([m.memory for m in moves]) if moves else 50e6
    part = pace(outcomes)
    lines = [f"grid tick={looks:g} backbone=125M seed=1", f"moves live fixed={freeze:.4f} setup={setup:.4f} at_once=4", "set max_moves=0"]
    for name, site, cpus, _, later in sites.NODES:
        lines.append(f"node {name} speed={cpus * part:.5f} cpus=1 site={site} memory=2G{' later' if later else ''}")
    for name, _, _, units, _ in sites.NODES:
        for unit in units:
            lines.append(f"job {unit} work={by_name[unit].work:.3f} memory={memory:.0f} dirty=1M on={name}")
    lines.append(f"at {join:g} join {','.join(sites.LATER)}")
    lines.append(f"at {leave:g} leave {','.join(sites.LATER)} notice=600")
    return "\n".join(lines) + "\n"


def run(build, folder, text, policies):
    """policy → row of the simulator's CSV; None when this build has no simulator."""
    if not (build / "bin" / "godwit-sim").exists():
        return None
    source, table, stages = folder / "grid.sim", folder / "simulated.csv", folder / "simulated-stages.csv"
    source.write_text(text)
    done = subprocess.run([build / "bin" / "godwit-sim", source, "--policy", ",".join(policies), "--csv", table, "--stages", stages],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise g.Failure(f"godwit-sim: {done.stdout}{done.stderr}")
    with open(table, newline="") as file:
        return {policy: row for policy, row in zip(policies, csv.DictReader(file))}
