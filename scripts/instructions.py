#!/usr/bin/env python3
"""Counts the instructions of what a request and a change cost, under valgrind, and compares with the baseline.

    scripts/instructions.py            fails when a case costs over 3 % more than translate/benches/instructions.json says
    UPDATE=1 scripts/instructions.py   rewrites the baseline

Counts do not depend on how busy the machine is. They do depend on the compiler: with another one than the baseline's the
difference is shown, and does not fail.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASELINE = os.path.join(ROOT, "translate", "benches", "instructions.json")
WORSE = 0.03

# How often each case runs, and in how many processes. Twice this often minus once is the case without the start of the
# process. Hash maps are seeded anew in each process, so that what fills them costs a little more or less: of several the median counts.
CASES = {
    "canonicalise": (2000, 1), "find": (2000, 1), "plain-rule": (2000, 3), "rich-rule": (2000, 3), "table": (3, 3),
    "changed-ingress": (200, 9), "changed-endpoints": (200, 5),
}


def install():
    """Installs valgrind, or names the command."""
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "valgrind"]
    root = [] if os.geteuid() == 0 else ["sudo"]
    if not shutil.which("apt-get") or (root and not shutil.which("sudo")):
        sys.exit(f"error: valgrind is missing; on Debian: {' '.join(command)}")
    print("installing valgrind", file=sys.stderr)
    for one in (["apt-get", "update", "-qq"], command):
        subprocess.run([*root, *one], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def build():
    """The benchmark's binary."""
    command = ["cargo", "build", "--quiet", "--profile", "bench", "--package", "translate", "--bench", "instructions"]
    out = subprocess.run([*command, "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    made = [json.loads(line).get("executable") for line in out.splitlines() if line.startswith("{")]
    return next(path for path in made if path and "instructions" in path)


def count(binary, case, times):
    """Instructions of a whole process."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", binary, case, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.search(r"I\s+refs:\s+([\d,]+)", done.stderr).group(1).replace(",", ""))


def cost(binary, case, times, processes):
    """Instructions of one turn of a case."""
    return int(statistics.median(count(binary, case, 2 * times) - count(binary, case, times) for _ in range(processes)) // times)


def main():
    """Exit code 1 when something costs too much."""
    if not shutil.which("valgrind"):
        install()
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    binary = build()
    found = {case: cost(binary, case, *often) for case, often in CASES.items()}
    if os.environ.get("UPDATE"):
        with open(BASELINE, "w", encoding="utf-8") as file:
            json.dump({"rustc": compiler, "instructions": found}, file, indent=2)
            file.write("\n")
    with open(BASELINE, encoding="utf-8") as file:
        baseline = json.load(file)
    worse = []
    for case, now in found.items():
        before = baseline["instructions"].get(case, now)
        print(f"{case:20} {now:12,} instructions, {now / before - 1:+.1%}")
        if now > before * (1 + WORSE):
            worse.append(case)
    if baseline["rustc"] != compiler:
        print(f"not judged: the baseline is of {baseline['rustc']}, this is {compiler}; UPDATE=1 rewrites it")
    elif worse:
        sys.exit(f"error: {', '.join(worse)}: over {WORSE:.0%} more than the baseline; UPDATE=1 rewrites it if that is wanted")


if __name__ == "__main__":
    main()
