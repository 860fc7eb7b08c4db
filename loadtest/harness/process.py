"""Processes: start, stop, what they use, and whether the machine has room for a measurement."""

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Cores:
    """Gateways get the first processors, everything else the rest."""

    def __init__(self, workers):
        count = os.cpu_count()
        self.gateway = ",".join(str(core) for core in range(workers))
        self.rest = ",".join(str(core) for core in range(workers, count)) or "0"


def start(command, cores, **options):
    """Starts a process on these processors."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.STDOUT)
    return subprocess.Popen(["taskset", "-c", cores, *command], **options)


def stop(process):
    """Ends a process and its children."""
    children = descendants(process.pid)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def stat(pid):
    """The fields of /proc/PID/stat after the name."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(") ")[2].split()


def descendants(root):
    """A process and all below it."""
    children = {}
    for path in glob.glob("/proc/[0-9]*"):
        pid = int(path.rpartition("/")[2])
        with contextlib.suppress(OSError, IndexError):
            children.setdefault(int(stat(pid)[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu(root):
    """Processor seconds of a process, its children, and its children that have ended."""
    total = 0
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            total += sum(int(ticks) for ticks in stat(pid)[11:15])
    return total / TICK


def memory(root):
    """Bytes of a process and its children; what they share counts once."""
    total = 0
    for pid in descendants(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return total


def instructions(root, during):
    """Runs `during` and counts the instructions of a process meanwhile; None where the machine cannot count."""
    if not shutil.which("perf"):
        return during(), None
    pids = ",".join(str(pid) for pid in descendants(root))
    counter = subprocess.Popen(
        ["perf", "stat", "-x,", "-e", "instructions", "-p", pids],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        result = during()
    finally:
        counter.send_signal(signal.SIGINT)
        try:
            first = counter.communicate(timeout=5)[1].split(",")[0].strip()
        except subprocess.TimeoutExpired:
            counter.kill()
            first = counter.communicate()[1]
    return result, int(first) if first.isdigit() else None


def busy():
    """Shares of the machine's time that were in use and stolen, over a second in which we do nothing."""
    def sample():
        with open("/proc/stat", encoding="ascii") as file:
            return [int(value) for value in file.readline().split()[1:9]]

    before = sample()
    time.sleep(1)
    used = [after - earlier for after, earlier in zip(sample(), before)]
    whole = sum(used) or 1
    return (whole - used[3] - used[4]) / whole, used[7] / whole


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_port(port, process=None, seconds=30, address="127.0.0.1"):
    """Waits until something listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args[3]} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {address}:{port} after {seconds} seconds")
