"""One run: starts backends and gateways, takes turns, collects."""

import contextlib
import os
import time

from . import process, scenarios
from .peers import ALL
from .site import Site, write
from .tools import say

BACKEND = """
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid %(folder)s/backend.pid;
error_log %(folder)s/backend.log crit; events { worker_connections 32768; multi_accept on; }
http {
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; client_max_body_size 0; sendfile on;
  default_type text/plain;
  server {
    listen 0.0.0.0:%(port)d reuseport backlog=4096;
    location / { return 200 "hello from a pod\\n"; }
    location ~ /bytes/(?<size>\\d+)$ { root %(folder)s/bytes; try_files /$size =404; }
  }
}
"""


class Bench:
    """What all scenarios share."""

    def __init__(self, folder, binaries, peers, workers, seconds, rounds):
        self.folder, self.binaries, self.peers = folder, binaries, peers
        self.workers, self.seconds, self.rounds = workers, seconds, rounds
        self.cores = process.Cores(workers)
        self.site = Site(folder, process.free_port(), process.free_port())
        self.warnings = []
        # Seconds of a pod's life and of its death, and how many deaths, in the failover runs.
        self.flip, self.flips = 3, 6

    def start_backend(self):
        """nginx for what is to be fast, our own pod for WebSockets and gRPC."""
        os.makedirs(f"{self.folder}/bytes", exist_ok=True)
        for size in (16384, 1048576):
            write(f"{self.folder}/bytes/{size}", "x" * size)
        write(f"{self.folder}/backend.conf", BACKEND % {"folder": self.folder, "port": self.site.backend_port})
        os.chmod(self.folder, 0o755)
        backend = process.start([self.binaries["nginx"], "-c", f"{self.folder}/backend.conf"], self.cores.rest)
        process.await_port(self.site.backend_port, backend)
        pod = self.start_pod("127.2.0.1")
        return [backend, pod]

    def start_pod(self, address, *flags, port=None, **options):
        """One of our own pods."""
        command = [self.binaries["loadtest"], "pod", f"{address}:{port or self.site.pod_port}", *flags]
        return process.start(command, self.cores.rest, **options)

    @contextlib.contextmanager
    def gateways(self, site, log=False):
        """All gateways, started; they stop in the end."""
        started = {}
        try:
            for name in self.peers:
                peer = ALL[name](site, self.cores, self.workers, log, self.binaries)
                say(f"starting {name}")
                peer.start()
                started[name] = peer
            time.sleep(1)
            yield started
        finally:
            for peer in started.values():
                peer.stop()

    def measure(self, peer, drive):
        """Drives a gateway and divides what it used by what it did."""
        before = process.cpu(peer.process.pid)
        result, counted = process.instructions(peer.process.pid, lambda: drive(self, peer, self.seconds))
        used = process.cpu(peer.process.pid) - before
        done = max(result["requests"] - result["failed"], 1)
        latency = result.get("latency", {})
        return dict(
            result, cpu_us=used * 1e6 / done, rps=done / result["seconds"], p50=latency.get("p50"), p99=latency.get("p99"),
            p999=latency.get("p99.9"), instructions=counted / done if counted else None,
        )

    def steady(self, gateways, chosen):
        """Every scenario against every gateway, in turns."""
        results = {}
        for name, (title, drive) in chosen.items():
            for turn in range(self.rounds):
                # Another one begins each time, so that none is always first after a pause.
                order = [*self.peers[turn % len(self.peers):], *self.peers[:turn % len(self.peers)]]
                for peer in order:
                    with self.tolerated(f"{title}: {peer}"):
                        one = self.measure(gateways[peer], drive)
                        results.setdefault(name, {}).setdefault(peer, []).append(one)
                        say(f"{title}: {peer} {one['cpu_us']:.1f} µs, {one['rps']:,.0f}/s, {one['failed']} failed")
        return results

    @contextlib.contextmanager
    def tolerated(self, what):
        """A gateway that fails a scenario does not end the run, but is named."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            say(f"{what}: {error}")
            self.warnings.append(f"{what} failed: {str(error).splitlines()[0]}")

    def memory(self, gateways):
        """Memory with nothing open, by connection, and by route."""
        results = {name: {"idle": process.memory(peer.process.pid)} for name, peer in gateways.items()}
        for name, peer in gateways.items():
            with self.tolerated(f"idle connections: {name}"):
                results[name] |= scenarios.idle(self, peer)
        few = Site(self.folder, self.site.backend_port, self.site.pod_port, hosts=100)
        with self.gateways(few) as small:
            for name, peer in small.items():
                less = process.memory(peer.process.pid)
                routes = (self.site.hosts - few.hosts) * self.site.paths / 1000
                results[name]["route"] = (results[name]["idle"] - less) / routes
        return results

    def once(self, gateways, drive, title, seconds):
        """One longer run against each gateway."""
        results = {}
        for name, peer in gateways.items():
            with self.tolerated(f"{title}: {name}"):
                one = drive(self, peer, seconds)
                latency = one["latency"]
                one |= {"p50": latency["p50"], "p99": latency["p99"], "p999": latency["p99.9"]}
                results.setdefault(name, []).append(one)
                say(f"{title}: {name} {one['failed']} of {one['requests']} failed {one['failures']}, p99 {one['p99']:,.0f} µs")
        return results
