"""What every gateway serves, and the ports on loopback that it is served on."""

import dataclasses
import os
import subprocess

SERVICES = 50
ENDPOINTS = 4
# wrk and h2load send the address as the server name, and Caddy finds certificates by name.
NAMES = "DNS:*.shop.test,DNS:shop.test,IP:127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Failover:
    """How gateways are set up for pods that die: all have timeouts of a second, and each its own means against such pods."""

    # Failed requests, and answers of 503, go to other endpoints.
    retries: bool
    # For those that can do it in both ways: endpoints are checked, too.
    checks: bool = True


@dataclasses.dataclass
class Site:
    """Hosts `hN.shop.test` with paths `/pM`; every host has one Service, Services share nothing but the backend's port."""

    folder: str
    backend_port: int
    pod_port: int
    hosts: int = 1000
    paths: int = 10
    # Four pods of one Service, of which the first dies; used by the failover runs only.
    failover: Failover | None = None

    def service_of(self, host):
        """The number of a host's Service."""
        return 0 if self.failover else host % SERVICES

    def services(self):
        """Name, endpoints as (address, port), and protocol of every Service."""
        if self.failover:
            yield "svc-0", [(f"127.2.0.{number}", self.pod_port) for number in range(1, ENDPOINTS + 1)], "http"
            return
        for service in range(SERVICES):
            yield f"svc-{service}", self.endpoints(service), "http"
        yield "ws", [("127.2.0.1", self.pod_port)], "http"
        yield "grpc", [("127.2.0.1", self.pod_port)], "grpc"

    def endpoints(self, service, turn=0):
        """The endpoints of a Service. Every turn leaves another one out, beginning with none."""
        left_out = 0 if turn == 0 else turn % ENDPOINTS + 1
        numbers = [number for number in range(1, ENDPOINTS + 1) if number != left_out]
        return [(f"127.1.{service}.{number}", self.backend_port) for number in numbers]

    def routes(self, turn=0):
        """Host, its paths and its Service. Every turn gives the second host another path."""
        for host in range(self.hosts):
            yield f"h{host}.shop.test", self.paths_of(host, turn), f"svc-{self.service_of(host)}"
        if not self.failover:
            yield "ws.shop.test", ["/"], "ws"
            yield "grpc.shop.test", ["/"], "grpc"

    def paths_of(self, host, turn=0):
        """The paths of a host."""
        paths = [f"/p{number}" for number in range(self.paths)]
        return [*paths, f"/moving-{turn}"] if host == 1 and turn else paths

    def certificate(self):
        """Key and certificate, and both in one file; made once."""
        key, crt, both = (os.path.join(self.folder, name) for name in ("tls.key", "tls.crt", "tls.pem"))
        if not os.path.exists(both):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
                + ["-days", "7", "-subj", "/CN=shop.test", "-addext", f"subjectAltName={NAMES}"]
                + ["-keyout", key, "-out", crt],
                check=True,
                stderr=subprocess.DEVNULL,
            )
            write(both, read(crt) + read(key))
        return key, crt, both


def read(path):
    """A file's text."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    """Replaces a file in one step, as tools do that others watch."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
