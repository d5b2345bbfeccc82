#!/usr/bin/env python3
"""Checks that libraries depend only on those above them in the table of src/README.md.

usage: layers.py README.md targets.dot      (the second is what `cmake --graphviz` writes)
"""
import re
import sys


def main(readme, graph):
    order = {}
    for line in open(readme):
        row = re.match(r"\|\s*`(\w+)/`", line)
        if row:
            order[row.group(1)] = len(order)
    names = {}
    edges = []
    for line in open(graph):
        node = re.search(r'"(node\d+)" \[ label = "([^"\\]+)', line)
        if node:
            names[node.group(1)] = node.group(2)
        edge = re.search(r'"(node\d+)" -> "(node\d+)"', line)
        if edge:
            edges.append(edge.groups())
    if not order or not edges:
        print("the table or the graph could not be read")
        return 1

    bad = set()
    for source, target in edges:
        source, target = names.get(source, ""), names.get(target, "")
        if not target.startswith("godwit_") or not source.startswith("godwit_"):
            continue
        source, target = source[len("godwit_"):], target[len("godwit_"):]
        if source == "flags" or target == "flags" or target.startswith("proto_") or source.startswith("proto_"):
            continue
        for module in (source, target):
            if module not in order:
                bad.add(f"library '{module}' has no row in src/README.md")
        if source in order and target in order and order[target] >= order[source]:
            bad.add(f"'{source}' depends on '{target}', which is below it in src/README.md")
    print("\n".join(sorted(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
