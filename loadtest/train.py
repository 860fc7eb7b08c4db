#!/usr/bin/env python3
"""A short load of every kind, for a binary that was built to be profiled: what `make release` optimises for.

    loadtest/train.py --ingora BINARY --clients BINARY
"""

import argparse
import os
import subprocess
import sys
import tempfile

from harness import process
from harness.clients import own
from harness.peers import ALL
from harness.site import Site
from harness.tools import find, say


class Everywhere:
    """No processor of their own for anybody."""

    gateway = rest = f"0-{(os.cpu_count() or 1) - 1}"


class Trainer:
    """What the clients want to know."""

    cores = Everywhere()

    def __init__(self, clients):
        self.binaries = {"loadtest": clients}


def load(trainer, peer, seconds):
    """Every kind of request, each for a while; returns how many."""
    plain, secure = f"127.0.0.1:{peer.http}", f"127.0.0.1:{peer.https}"
    hosts = ("--hosts", peer.site.hosts)
    runs = [
        ("rate", plain, "--rate", 1000, *hosts),
        ("rate", plain, "--rate", 100, "--path", "/p2/bytes/16384", *hosts),
        ("handshakes", secure, *hosts),
        ("handshakes", secure, "--resume", *hosts),
        ("grpc", secure, "--host", "grpc.shop.test"),
        ("websocket", plain, "--host", "ws.shop.test", "--path", "/echo"),
    ]
    done = 0
    for command, address, *flags in runs:
        result = own(trainer, command, address, seconds, *flags)
        say(f"training with {command}: {result['requests']} requests, {result['failed']} failed")
        done += result["requests"] - result["failed"]
    for turn in range(1, 40):
        peer.change(turn)
    return done


def main():
    """Exit code 1 when the load did not get through."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ingora", required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--seconds", type=int, default=4, help="of each kind of load")
    chosen = parser.parse_args()
    if not find("openssl") or not find("taskset"):
        sys.exit("error: openssl or taskset is missing; on Debian: apt-get install openssl util-linux")
    trainer = Trainer(os.path.abspath(chosen.clients))
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder, process.free_port(), process.free_port(), hosts=200)
        pods = [
            process.start([trainer.binaries["loadtest"], "pod", address], Everywhere.rest)
            for address in (f"0.0.0.0:{site.backend_port}", f"127.2.0.1:{site.pod_port}")
        ]
        # With the access log, as most have it.
        peer = ALL["ingora"](site, Everywhere, 2, True, {"ingora": os.path.abspath(chosen.ingora)})
        os.environ["INGORA_SHUTDOWN_GRACE_PERIOD"] = "0s"
        os.environ["INGORA_DRAIN_TIMEOUT"] = "1s"
        try:
            process.await_port(site.backend_port, pods[0])
            peer.start()
            done = load(trainer, peer, chosen.seconds)
        finally:
            if peer.process:
                # The profile is written when the process ends by itself.
                peer.process.terminate()
                try:
                    peer.process.wait(60)
                except subprocess.TimeoutExpired:
                    peer.process.kill()
            for pod in pods:
                process.stop(pod)
    if done < 1000:
        sys.exit(f"error: only {done} requests got through; a profile of that would mislead")


if __name__ == "__main__":
    main()
