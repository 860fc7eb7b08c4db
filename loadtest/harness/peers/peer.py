"""What all gateways have in common."""

import os
import subprocess

from .. import process
from ..site import write


class Peer:
    """One gateway: its configuration, its process, and how its controller applies changes."""

    name = ""
    # Seconds between two changes, for those whose controllers limit it.
    apply_every = 0.0

    def __init__(self, site, cores, workers, log, binaries):
        self.site, self.cores, self.workers, self.log, self.binaries = site, cores, workers, log, binaries
        self.folder = os.path.join(site.folder, f"{self.name}{'-log' if log else ''}-{site.hosts}")
        os.makedirs(self.folder, exist_ok=True)
        self.http, self.https = process.free_port(), process.free_port()
        self.key, self.crt, self.pem = site.certificate()
        self.process = None

    @classmethod
    def failover_variants(cls):
        """Titles of its rows in the failover run, and whether its endpoints are checked."""
        return [(cls.name, True)]

    def path(self, name):
        """A file in the gateway's own folder."""
        return os.path.join(self.folder, name)

    def write(self, name, text):
        """Replaces one of its files."""
        write(self.path(name), text)

    def launch(self, command, **options):
        """Starts it and waits for both ports."""
        options.setdefault("stdout", open(self.path("stdout"), "wb"))
        self.process = process.start(command, self.cores.gateway, cwd=self.folder, **options)
        process.await_port(self.http, self.process)
        process.await_port(self.https, self.process)

    def stop(self):
        """Ends it."""
        if self.process:
            process.stop(self.process)

    def start(self):
        """Writes the configuration and starts."""
        raise NotImplementedError

    def change(self, turn):
        """Other endpoints of the first Service, another path of the second host, live the way its controller does it."""
        raise NotImplementedError

    def change_at_once(self, turn):
        """What does not have to wait for `apply_every`; nothing for most."""

    def version(self):
        """What it calls itself."""
        command = [self.binaries[self.name], *self.version_flags]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        # Some begin with the path of their binary.
        return (out.stdout or out.stderr).strip().splitlines()[0].removeprefix(command[0]).strip()

    version_flags = ["--version"]
