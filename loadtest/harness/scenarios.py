"""What is measured. Each scenario drives one gateway for a while and returns what the client counted."""

import json
import subprocess
import threading
import time

from . import process
from .clients import h2load, own, wrk


def fixed(rate):
    """A fixed rate over all hosts."""
    def drive(bench, peer, seconds):
        return own(bench, "rate", f"127.0.0.1:{peer.http}", seconds, "--rate", rate, "--hosts", peer.site.hosts)

    return drive


def handshakes(*flags):
    """New TLS connections."""
    def drive(bench, peer, seconds):
        return own(bench, "handshakes", f"127.0.0.1:{peer.https}", seconds, "--hosts", peer.site.hosts, *flags)

    return drive


def body(script, size):
    """Bodies of a size, up or down."""
    return lambda bench, peer, seconds: wrk(bench, peer, seconds, script, connections=16, environment={"BYTES": str(size)})


# Title and driver by name. The unit of all is requests (messages, calls, connections) and what each costs the gateway.
STEADY = {
    "http1": ("HTTP/1.1 keep-alive, small", wrk),
    "rate": ("HTTP/1.1 at 4,000/s", fixed(4000)),
    "connections": ("new TCP connection for each request", lambda bench, peer, seconds: wrk(bench, peer, seconds, "close.lua")),
    "https": ("HTTPS keep-alive, small", lambda bench, peer, seconds: wrk(bench, peer, seconds, tls=True)),
    "handshake": ("TLS 1.3, full handshake", handshakes()),
    "resumed": ("TLS 1.3, resumed handshake", handshakes("--resume")),
    "http2": ("HTTP/2, small", h2load),
    "down16k": ("16 KiB down", body("download.lua", 16384)),
    "up16k": ("16 KiB up", body("upload.lua", 16384)),
    "down1m": ("1 MiB down", body("download.lua", 1048576)),
    "up1m": ("1 MiB up", body("upload.lua", 1048576)),
    "websocket": ("WebSocket message and echo", lambda bench, peer, seconds: own(
        bench, "websocket", f"127.0.0.1:{peer.http}", seconds, "--host", "ws.shop.test", "--path", "/echo")),
    "grpc": ("gRPC unary call", lambda bench, peer, seconds: own(
        bench, "grpc", f"127.0.0.1:{peer.https}", seconds, "--host", "grpc.shop.test")),
}
LOGGED = {"http1-log": ("HTTP/1.1 keep-alive, small, access log on", wrk)}


def churn(bench, peer, seconds, changes=20, rate=1000):
    """Endpoints and routes change all the time, as often as the gateway's controller would apply it."""
    ended, applied, problems = threading.Event(), [], []

    def change():
        turn, applied_at = 0, 0.0
        while not ended.wait(1 / changes):
            turn += 1
            started = time.monotonic()
            try:
                peer.change_at_once(turn)
                if started - applied_at >= peer.apply_every:
                    peer.change(turn)
                    applied.append(turn)
                    applied_at = started
            except Exception as error:  # A change that fails is a result.
                problems.append(str(error))

    load = lambda: own(bench, "rate", f"127.0.0.1:{peer.http}", seconds, "--rate", rate, "--hosts", peer.site.hosts)
    quiet = load()
    changer = threading.Thread(target=change)
    changer.start()
    result = load()
    result["memory"] = process.memory(peer.process.pid)
    ended.set()
    changer.join()
    return dict(result, quiet=quiet["latency"]["p99"], changes=len(applied), problems=problems[:5])


def idle(bench, peer, connections=1000):
    """Bytes of memory: with nothing open, and for each idle connection in plain text and over TLS."""
    result = {}
    for name, port, flags in (("plain", peer.http, []), ("tls", peer.https, ["--tls"])):
        before = process.memory(peer.process.pid)
        holder = subprocess.Popen(
            ["taskset", "-c", bench.cores.rest, bench.binaries["loadtest"], "idle", f"127.0.0.1:{port}"]
            + ["--connections", str(connections), *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        first = holder.stdout.readline()
        if first and json.loads(first)["open"] == connections:
            result[name] = (process.memory(peer.process.pid) - before) / connections
        holder.communicate()
    return result
