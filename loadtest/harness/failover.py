"""One of four pods of a Service dies and recovers in turns: what clients see of it, and how soon it gets requests again."""

import json
import math
import statistics
import subprocess

from . import process
from .clients import own
from .peers import ALL
from .report import number, table
from .site import ENDPOINTS, Failover, Site
from .tools import say

RATE = 2000
ROUTES = 50
# Requests that are on their way when a pod dies end within it, and so do first requests after it recovered.
LAST = 2

# How a pod is dead: the flag of our pod, and what it means.
DEATHS = {
    "refuses": "nothing listens, open connections are cut",
    "hangs": "it accepts connections and requests and never answers",
    "unavailable": "it answers 503",
}

# Ingora's goals: errors at one flip without retries; with retries there are none. A hanging pod has no goal: it looks like a
# slow one until a timeout says otherwise.
ERRORS = {"refuses": 1, "unavailable": 5}
BACK_MS = 500


def run(bench):
    """Every gateway with every death, without and with retries; the figures by death and gateway."""
    results = {death: {} for death in DEATHS}
    for death, by_peer in results.items():
        for name in bench.peers:
            for title, checks in ALL[name].failover_variants():
                for retries in (False, True):
                    with bench.tolerated(f"failover: {title}"):
                        one = flips(bench, name, death, Failover(retries, checks))
                        by_peer.setdefault(title, {})["on" if retries else "off"] = one
                        say(f"failover: {title}, a pod {death}, retries {'on' if retries else 'off'}: "
                            f"{one['errors']} errors by flip, back after {one['back_ms']} ms, p99 {one['p99']:,.0f} µs")
    return results


def flips(bench, name, death, failover):
    """One gateway, one death, some flips."""
    site = Site(bench.folder, bench.site.backend_port, process.free_port(), hosts=ROUTES, paths=1, failover=failover)
    peer = ALL[name](site, bench.cores, bench.workers, False, bench.binaries)
    pods = []
    try:
        for place, (address, port) in enumerate(next(site.services())[1]):
            flags = ["--flip", str(bench.flip), "--dead", death] if place == 0 else []
            pods.append(bench.start_pod(address, *flags, port=port, stdout=subprocess.PIPE if flags else subprocess.DEVNULL))
            process.await_port(port, address=address)
        peer.start()
        # Healthy and dead so many times, and what is needed to see the last recovery.
        seconds = 2 * bench.flip * bench.flips + min(LAST, bench.flip * 0.9)
        counted = own(
            bench, "rate", f"127.0.0.1:{peer.http}", seconds, "--rate", RATE, "--hosts", ROUTES, "--path", "/p0/item", "--timeout", 5,
        )
    finally:
        peer.stop()
        for pod in pods:
            process.stop(pod)
    latency = counted["latency"]
    return {
        "requests": counted["requests"], "failed": counted["failed"], "failures": counted["failures"],
        "errors": by_flip(counted["failed_at"], bench.flip, bench.flips), "back_ms": recoveries(pods[0].stdout.read(), bench.flips),
        "p50": latency["p50"], "p99": latency["p99"], "p999": latency["p99.9"], "max": latency["max"],
    }


def by_flip(failed_at, flip, count):
    """Errors from each death to the next one; those before the first death are the first one's."""
    errors = [0] * count
    for second in failed_at:
        errors[min(max(int((second / flip - 1) / 2), 0), count - 1)] += 1
    return errors


def recoveries(lines, count):
    """Milliseconds from each recovery to the first request; none where no request came."""
    # The pod goes on until it is stopped.
    back = [json.loads(line)["back_ms"] for line in lines.splitlines()[:count]]
    return [*back, *[None] * (count - len(back))]


def worst(back):
    """The longest way back; infinite where no request came."""
    return max(math.inf if one is None else one for one in back)


def missed(results):
    """Goals that Ingora did not reach, with the figure."""
    for death, most in ERRORS.items():
        for retries, one in results.get(death, {}).get("ingora", {}).items():
            limit = most if retries == "off" else 0
            what = f"failover, a pod {death}, retries {retries}"
            if max(one["errors"]) > limit:
                yield f"{what}: {max(one['errors'])} errors at one flip, the goal is at most {limit}"
            if worst(one["back_ms"]) > BACK_MS:
                yield f"{what}: back in rotation after {number(worst(one['back_ms']))} ms, the goal is {BACK_MS} ms"


def markdown(results):
    """A table for each death."""
    for death, meaning in DEATHS.items():
        rows = []
        for title, both in results.get(death, {}).items():
            for retries, one in both.items():
                back = [math.inf if value is None else value for value in one["back_ms"]]
                shown = [number(value) if value < math.inf else "never" for value in (statistics.median(back), max(back))]
                rows.append([
                    title, retries, number(statistics.median(one["errors"])), number(max(one["errors"])), number(one["failed"], 9),
                    number(one["p99"] / 1e3), number(one["max"] / 1e3), *shown,
                ])
        if rows:
            head = ["", "retries", "errors a flip", "at most", "of all", "p99, ms", "longest, ms", "back after, ms", "at most, ms"]
            yield (
                f"## Failover: one of {ENDPOINTS} pods {death} every other time ({meaning}), {RATE:,} requests a second over {ROUTES} "
                f"routes\n\n{table(head, rows)}"
            )
