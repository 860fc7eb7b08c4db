"""The generators, and what they counted in one form: requests, failed, seconds, latency in microseconds."""

import json
import os
import re
import subprocess
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def call(cores, *command, **options):
    """Runs a generator on the processors that the gateway leaves."""
    done = subprocess.run(
        ["taskset", "-c", cores.rest, *command], capture_output=True, text=True, check=False, timeout=300, **options
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def micros(text):
    """`1.5ms` in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS[unit]


def wrk(bench, peer, seconds, script="hosts.lua", tls=False, connections=64, environment=None):
    """wrk as fast as it goes."""
    address = f"https://127.0.0.1:{peer.https}" if tls else f"http://127.0.0.1:{peer.http}"
    out = call(
        bench.cores, bench.binaries["wrk"], "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "5s",
        "-s", os.path.join(HERE, "wrk", script), address, env=dict(os.environ, HOSTS=str(peer.site.hosts), **(environment or {})),
    )
    requests, took = re.search(r"(\d+) requests in ([\d.]+\w+)", out).groups()
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", out))
    socket = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failed += sum(int(number) for number in socket.groups()) if socket else 0
    latency = {f"p{share}": micros(value) for share, value in re.findall(r"^\s+(50|90|99)%\s+(\S+)$", out, re.M)}
    return {"requests": int(requests), "failed": failed, "seconds": micros(took) / 1e6, "latency": latency}


def h2load(bench, peer, seconds):
    """HTTP/2 over TLS, eight connections of eight streams."""
    out = call(
        bench.cores, bench.binaries["h2load"], "-t1", "-c8", "-m8", f"-D{seconds}",
        f"https://127.0.0.1:{peer.https}/p1/item", "-H", ":authority: h1.shop.test",
    )
    done, failed = re.search(r"(\d+) succeeded, (\d+) failed", out).groups()
    return {"requests": int(done) + int(failed), "failed": int(failed), "seconds": seconds, "latency": {}}


def own(bench, command, address, seconds, *flags):
    """One of our own clients."""
    started = time.monotonic()
    out = call(bench.cores, bench.binaries["loadtest"], command, address, "--seconds", str(seconds), *map(str, flags))
    return dict(json.loads(out), seconds=time.monotonic() - started)
