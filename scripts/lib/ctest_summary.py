#!/usr/bin/env python3
"""Adds up ctest's JUnit reports: skips with their reasons, failures by name, and one closing line.

usage: ctest_summary.py [--add-passed N] [--add-failed N] [REPORT.xml...]    (N: steps that were not run by ctest)

The closing line is `N passed, N failed`, with `, N skipped` when some were. Exit status 1 when a test failed, when
there was no test at all, or when a report is missing.
"""
import argparse
import re
import sys
import xml.etree.ElementTree as xml


def skip_reason(output):
    """What the test says is missing: our runners print `SKIP: reason`, gtest prints the message before its marker."""
    found = re.search(r"^SKIP: (.+)$", output, re.M)
    if found:
        return found.group(1).strip()
    found = re.search(r": Skipped\n(.+?)\n", output, re.S)
    if found:
        return " ".join(found.group(1).split())
    return "no reason given"


def main(arguments):
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--add-passed", type=int, default=0)
    options.add_argument("--add-failed", type=int, default=0)
    options.add_argument("reports", nargs="*")
    options = options.parse_args(arguments)
    passed, failed, skipped = options.add_passed, [], []
    broken = False
    for report in options.reports:
        try:
            root = xml.parse(report).getroot()
        except (OSError, xml.ParseError) as error:
            print(f"cannot read the report {report}: {error}", file=sys.stderr)
            broken = True
            continue
        for case in root.iter("testcase"):
            name, status = case.get("name"), case.get("status")
            output = case.findtext("system-out") or ""
            # ctest calls a program that isn't there "not run": for us that is a failure, not a skip.
            missing = case.find("skipped") is not None and "Unable to find" in case.find("skipped").get("message", "")
            if missing:
                failed.append(f"{name} (its program is not built)")
            elif status == "run":
                passed += 1
            elif status in ("notrun", "disabled") and case.find("failure") is None:
                skipped.append((name, skip_reason(output)))
            else:
                failed.append(name)
    reasons = {}
    for name, reason in skipped:
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items()):
        print(f"skipped {len(names)}: {reason}")
        for name in names[:5]:
            print(f"    {name}")
        if len(names) > 5:
            print(f"    and {len(names) - 5} more")
    for name in failed:
        print(f"FAILED: {name}")
    failures = len(failed) + options.add_failed
    print(f"{passed} passed, {failures} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failures or broken or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
