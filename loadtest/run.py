#!/usr/bin/env python3
"""Runs gateways side by side and writes the comparison to loadtest/results/.

    make loadtest                                        everything, about 45 minutes
    loadtest/run.py --quick --peers ingora,nginx         a minute, to see that it works
    loadtest/run.py --only http1,churn --rounds 5        some of it, more often
"""

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile

from harness import failover, process, report, scenarios, tools
from harness.bench import Bench
from harness.peers import ALL

HERE = os.path.dirname(os.path.abspath(__file__))
EXTRA = ("memory", "churn", "failover")

# Shares of the machine that others may use before a result is marked.
BUSY, STOLEN = 0.10, 0.02


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(ALL), help="gateways, separated by commas")
    known = [*scenarios.STEADY, *scenarios.LOGGED, *EXTRA]
    parser.add_argument("--only", default=",".join(known), help=f"some of: {' '.join(known)}")
    parser.add_argument("--ingora", help="a binary to measure; without it one is built")
    parser.add_argument("--clients", help="our own clients, target/release/loadtest; without it they are built")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="of each gateway")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each scenario in each round")
    parser.add_argument("--long", type=int, default=36, help="seconds of churn")
    parser.add_argument("--flips", type=int, default=6, help="deaths of the pod in each failover run, one every 6 seconds")
    parser.add_argument("--quick", action="store_true", help="one round of a second; the figures mean nothing")
    parser.add_argument("--results", default=os.path.join(HERE, "results"), help="folder")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.long, chosen.flips = 1, 1, 4, 1
    for name, all_of in (("peers", ALL), ("only", known)):
        values = [value for value in getattr(chosen, name).split(",") if value]
        unknown = [value for value in values if value not in all_of]
        if unknown:
            parser.error(f"--{name} does not know {' '.join(unknown)}; it knows {' '.join(all_of)}")
        setattr(chosen, name, values)
    return chosen


def machine():
    """What it was measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} processors ({model}), Linux {platform.release()}"


def quiet_warnings(when):
    """A busy machine measures its other work."""
    used, stolen = process.busy()
    if used > BUSY:
        yield f"{when} the run, {used:.0%} of the machine was busy with something else"
    if stolen > STOLEN:
        yield f"{when} the run, {stolen:.0%} of the machine's time was taken by its host"


def everything(bench, only):
    """All that was asked for."""
    results = {"steady": {}, "memory": {}, "churn": {}, "failover": {}}
    steady = {name: one for name, one in scenarios.STEADY.items() if name in only}
    logged = {name: one for name, one in scenarios.LOGGED.items() if name in only}
    backends = bench.start_backend()
    try:
        if steady or "memory" in only or "churn" in only:
            with bench.gateways(bench.site) as gateways:
                if "memory" in only:
                    results["memory"] = bench.memory(gateways)
                results["steady"] |= bench.steady(gateways, steady)
                if "churn" in only:
                    results["churn"] = bench.once(gateways, scenarios.churn, "churn", bench.long)
        if logged:
            with bench.gateways(bench.site, log=True) as gateways:
                results["steady"] |= bench.steady(gateways, logged)
    finally:
        for backend in backends:
            process.stop(backend)
    if "failover" in only:
        results["failover"] = failover.run(bench)
    return results


def main():
    """Exit code 0 when everything was measured, 1 when something failed or a goal was missed, 2 for wrong usage."""
    chosen = arguments()
    if (os.cpu_count() or 1) <= chosen.workers:
        sys.exit(f"error: {chosen.workers} workers leave no processor for clients; use --workers")
    binaries = tools.binaries(chosen.peers, chosen.ingora, chosen.clients)
    warnings = list(quiet_warnings("before"))
    if chosen.quick:
        warnings.append("it was a quick run that only shows that everything works")
    for warning in warnings:
        tools.say(f"warning: {warning}")
    now = datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        bench = Bench(folder, binaries, chosen.peers, chosen.workers, chosen.seconds, chosen.rounds)
        bench.long, bench.flips = chosen.long, chosen.flips
        if chosen.quick:
            bench.flip = 1
        versions = {name: ALL[name](bench.site, bench.cores, 1, False, binaries).version() for name in chosen.peers}
        results = everything(bench, chosen.only)
    failures, missed = bench.warnings, [] if chosen.quick else list(failover.missed(results["failover"]))
    warnings += [*quiet_warnings("after"), *failures]
    titles = {name: title for name, (title, _) in (scenarios.STEADY | scenarios.LOGGED).items()}
    run = dict(
        results, date=now.strftime("%Y-%m-%d %H:%M UTC"), peers=chosen.peers, workers=chosen.workers, rounds=chosen.rounds,
        seconds=chosen.seconds, machine=machine(), versions=versions, warnings=warnings, missed=missed,
        titles=titles,
    )
    os.makedirs(chosen.results, exist_ok=True)
    base = os.path.join(chosen.results, now.strftime("%Y-%m-%d-%H%M"))
    page = report.markdown(run, failover.markdown(results["failover"]))
    for ending, text in ((".md", page), (".svg", report.svg(run)), (".json", json.dumps(run, indent=1))):
        with open(base + ending, "w", encoding="utf-8") as file:
            file.write(text)
    print(page)
    tools.say(f"written: {base}.md, .svg and .json")
    for goal in missed:
        tools.say(f"missed: {goal}")
    sys.exit(1 if failures or missed else 0)


if __name__ == "__main__":
    main()
