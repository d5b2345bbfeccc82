"""What bench/grid found out, for programs (CSV, JSON), for people (a table) and for looking at (SVG by gnuplot).

    grid.csv          a row for each run and stage
    grid-moves.csv    a row for each move
    grid-samples.csv  work finished over time
    finished.svg      the same, by policy (the paper's Figure 6.4)
    stages.svg        execution time by stage, by policy (Figure 6.3)
    work.svg          finished work by stage, by policy

The CSVs are all that there is: read() makes the runs of them again, so an experiment that was broken off goes on.
"""
import csv
import json
import platform
import shutil
import statistics
import subprocess

import blast
import experiment
import grid as g

COLUMNS = ("host kernel commit load1 scale looks policy run stage from_s to_s seconds work capacity efficiency moves used_s makespan_s "
           "total_efficiency moves_extension moves_shrink moves_forced downtime_ms move_ms cpu_got reports predicted_s predicted_moves").split()
MOVES = "policy run at_s unit from to downtime_ms total_ms memory_bytes bytes_sent".split()
SAMPLES = ["policy", "run", "at_s"] + [a[0] for a in blast.APPLICATIONS]


def counts(outcome, later):
    """Moves after the extension, after the shrink, and of those that had to be."""
    shrink = next((s.end for s in outcome.stages[1:2]), outcome.makespan)
    extension = outcome.moves_in(1) if len(outcome.stages) > 1 else 0
    after = [m for m in outcome.moves if m.at >= shrink]
    return extension, len(after), sum(1 for m in after if m.source in later)


def rows(outcomes, options, predicted, later):
    for o in outcomes:
        extension, shrink, forced = counts(o, later)
        simulated = (predicted or {}).get(o.policy)
        for i, s in enumerate(o.stages):
            yield {
                "host": platform.node(), "kernel": platform.release(), "commit": o.commit, "scale": f"{options.scale:g}",
                "looks": f"{options.looks:g}", "load1": f"{o.load1:.2f}", "policy": o.policy, "run": o.run, "stage": s.name,
                "from_s": f"{s.begin:.2f}", "to_s": f"{s.end:.2f}", "seconds": f"{s.end - s.begin:.2f}", "work": f"{s.work:.3f}",
                "capacity": f"{s.capacity:.3f}", "efficiency": f"{s.work / s.capacity:.4f}", "moves": o.moves_in(i),
                "used_s": f"{s.used:.3f}", "makespan_s": f"{o.makespan:.2f}", "total_efficiency": f"{o.efficiency:.4f}",
                "moves_extension": extension, "moves_shrink": shrink, "moves_forced": forced,
                "downtime_ms": f"{o.median_ms('downtime_ms'):.1f}", "move_ms": f"{o.median_ms('total_ms'):.1f}",
                "cpu_got": f"{o.cpu_got:.3f}", "reports": "equal",
                "predicted_s": f"{float(simulated['makespan_s']):.2f}" if simulated else "",
                "predicted_moves": simulated["moves"] if simulated else "",
            }


def replace(path, columns, lines):
    """Whole or not at all, so that what was measured is not lost with the machine."""
    part = path.with_suffix(".part")
    with open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    part.rename(path)


def write(folder, outcomes, options, predicted, later):
    replace(folder / "grid-moves.csv", MOVES, (
        dict(zip(MOVES, (o.policy, o.run, f"{m.at:.2f}", m.unit, m.source, m.destination, f"{m.downtime_ms:.1f}", f"{m.total_ms:.1f}",
                         m.memory, m.sent)))
        for o in outcomes for m in sorted(o.moves, key=lambda m: m.at)))
    replace(folder / "grid-samples.csv", SAMPLES, (
        {"policy": o.policy, "run": o.run, "at_s": f"{at:.2f}", **{a: f"{work:.3f}" for a, work in done.items()}}
        for o in outcomes for at, done in o.samples))
    # Last, since it says which runs there are.
    replace(folder / "grid.csv", COLUMNS, rows(outcomes, options, predicted, later))


def table_of(path):
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def read(folder, options):
    """The runs that are in the CSVs of an earlier call."""
    found = {}
    for row in table_of(folder / "grid.csv"):
        for name in ("scale", "looks"):
            if row.get(name) != f"{getattr(options, name):g}":
                raise g.Failure(f"{folder}/grid.csv is of --{name} {row.get(name)}, not {getattr(options, name):g}: name another --output")
        key = (row["policy"], int(row["run"]))
        o = found.setdefault(key, experiment.Outcome(*key, float(row["load1"]), [], float(row["makespan_s"]), [], [], row["commit"]))
        o.stages.append(experiment.Stage(row["stage"], float(row["from_s"]), float(row["to_s"]), float(row["work"]), float(row["capacity"]),
                                         float(row["used_s"])))
    for row in table_of(folder / "grid-moves.csv"):
        if o := found.get((row["policy"], int(row["run"]))):
            o.moves.append(experiment.Move(row["unit"], row["from"], row["to"], float(row["at_s"]), float(row["downtime_ms"]),
                                           float(row["total_ms"]), int(row["memory_bytes"]), int(row["bytes_sent"])))
    for row in table_of(folder / "grid-samples.csv"):
        if o := found.get((row["policy"], int(row["run"]))):
            o.samples.append((float(row["at_s"]), {a[0]: float(row[a[0]]) for a in blast.APPLICATIONS}))
    return found


def as_json(outcomes, predicted, later):
    runs = []
    for o in outcomes:
        extension, shrink, forced = counts(o, later)
        simulated = (predicted or {}).get(o.policy)
        runs.append({
            "policy": o.policy, "run": o.run, "makespan_s": round(o.makespan, 3), "efficiency": round(o.efficiency, 4),
            "moves_extension": extension, "moves_shrink": shrink, "moves_forced": forced, "cpu_got": round(o.cpu_got, 4),
            "reports": "equal", "predicted_s": float(simulated["makespan_s"]) if simulated else None,
            "stages": [{"name": s.name, "from_s": round(s.begin, 3), "to_s": round(s.end, 3), "work": round(s.work, 3),
                        "capacity": round(s.capacity, 3)} for s in o.stages]})
    return json.dumps(runs, indent=2) + "\n"


def spread(values, form="{:.1f}"):
    values = list(values)
    text = form.format(statistics.mean(values))
    return text if len(values) == 1 else f"{text}±{form.format((max(values) - min(values)) / 2)}"


def by_policy(outcomes):
    found = {}
    for o in outcomes:
        found.setdefault(o.policy, []).append(o)
    return found


def table(outcomes, predicted, later):
    head = ("policy", "runs", "makespan s", "vs first", "stage s", "stage work s", "stage eff %", "eff %", "extend", "shrink", "forced",
            "down ms", "move ms", "simulated s", "off")
    lines = [head]
    groups = by_policy(outcomes)
    first = statistics.mean(o.makespan for o in next(iter(groups.values())))
    for policy, runs in groups.items():
        mean = statistics.mean(o.makespan for o in runs)
        stages = range(max(len(o.stages) for o in runs))

        def each(field, form):
            return " ".join(form.format(statistics.mean(field(o.stages[i]) for o in runs if i < len(o.stages))) for i in stages)

        simulated = float(predicted[policy]["makespan_s"]) if predicted else None
        moves = [counts(o, later) for o in runs]
        lines.append((
            policy, str(len(runs)), spread(o.makespan for o in runs), f"{100 * (mean / first - 1):+.1f}%",
            each(lambda s: s.end - s.begin, "{:.0f}"), each(lambda s: s.work, "{:.1f}"), each(lambda s: 100 * s.work / s.capacity, "{:.0f}"),
            spread(100 * o.efficiency for o in runs), *(spread((m[i] for m in moves), "{:.3g}") for i in range(3)),
            spread((o.median_ms("downtime_ms") for o in runs), "{:.0f}"), spread((o.median_ms("total_ms") for o in runs), "{:.0f}"),
            f"{simulated:.1f}" if simulated else "-", f"{100 * (simulated / mean - 1):+.1f}%" if simulated else "-"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip() + "\n"
                   for line in lines)


def gnuplot(script):
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True)
    if done.returncode != 0:
        raise g.Failure(f"gnuplot: {done.stderr}")


STYLE = """set terminal svg size 860,480 font 'sans-serif,13' background '#ffffff' dynamic
set border 3 lc rgb '#666666'
set tics nomirror
set grid ytics lc rgb '#dddddd' lt 1
"""
COLOURS = "#222222 #0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #8c564b #7f7f7f #bcbd22 #17becf #999933 #aa4499".split()


def plots(folder, outcomes, join, leave):
    """False when there is no gnuplot here."""
    if not shutil.which("gnuplot"):
        return False
    groups = by_policy(outcomes)
    blocks, curves = [], []
    for i, (policy, runs) in enumerate(groups.items()):
        o = sorted(runs, key=lambda o: o.makespan)[len(runs) // 2]
        points = [(0.0, 0.0)] + [(t, sum(done.values())) for t, done in o.samples if t < o.makespan] + [(o.makespan, o.work)]
        blocks.append(f"$p{i} << END\n" + "".join(f"{t:.2f} {w:.3f}\n" for t, w in points) + "END\n")
        curves.append(f"$p{i} using 1:2 with lines lw {3 if policy == 'none' else 2} lc rgb '{COLOURS[i % len(COLOURS)]}' title '{policy}'")
    gnuplot(STYLE + "".join(blocks) + f"""set output '{folder / 'finished.svg'}'
set title 'Work finished: X, Y and Z on five nodes, on seven, on five again'
set xlabel 'seconds'
set ylabel 'CPU seconds of work finished'
set key bottom right
set arrow from {join},graph 0 to {join},graph 1 nohead dt 2 lc rgb '#888888'
set arrow from {leave},graph 0 to {leave},graph 1 nohead dt 2 lc rgb '#888888'
set label 'two nodes join' at {join},graph 0.97 offset 0.5,0 tc rgb '#666666'
set label 'they leave' at {leave},graph 0.97 offset 0.5,0 tc rgb '#666666'
plot [0:][0:] {', '.join(curves)}
""")
    stacked(folder / "stages.svg", "Execution time by stage", "seconds", groups, lambda s: s.end - s.begin, lambda o: o.makespan)
    stacked(folder / "work.svg", "Work finished by stage", "CPU seconds", groups, lambda s: s.work, lambda o: o.work)
    return True


def stacked(path, title, unit, groups, of_stage, of_run):
    lines = []
    for policy, runs in groups.items():
        parts = [statistics.mean(of_stage(o.stages[i]) if i < len(o.stages) else 0 for o in runs) for i in range(3)]
        low, high = min(map(of_run, runs)), max(map(of_run, runs))
        lines.append(f"\"{policy}\" {parts[0]:.2f} {parts[1]:.2f} {parts[2]:.2f} {sum(parts):.2f} {low:.2f} {high:.2f}\n")
    gnuplot(STYLE + "$t << END\n" + "".join(lines) + f"""END
set output '{path}'
set title '{title}'
set ylabel '{unit}'
set style data histogram
set style histogram rowstacked
set style fill solid 0.9 border -1
set boxwidth 0.6
set key outside right
set xtics rotate by -30
plot [][0:] $t using 2:xtic(1) title 'five nodes' lc rgb '#9ecae1', '' using 3 title 'seven nodes' lc rgb '#4292c6', \\
  '' using 4 title 'five again' lc rgb '#084594', '' using 0:5:6:7 with yerrorbars lc rgb '#222222' ps 0 notitle
""")
