"""Ingora: a folder of manifests; changes are files that change."""

import json
import os

from ..process import free_port
from ..site import read
from .peer import Peer


def ingress(host, paths, service, failover):
    """One Ingress."""
    annotations = {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}
    if service == "grpc":
        annotations["nginx.ingress.kubernetes.io/backend-protocol"] = "GRPC"
    if failover:
        annotations["nginx.ingress.kubernetes.io/proxy-connect-timeout"] = "1"
        annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] = "1"
        annotations["nginx.ingress.kubernetes.io/proxy-next-upstream"] = "error timeout http_503" if failover.retries else "off"
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": host, "namespace": "shop", "annotations": annotations},
        "spec": {"rules": [{"host": host, "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": backend} for path in paths
        ]}}]},
    }


def service(name, endpoints):
    """A Service and its endpoints."""
    yield {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "port": endpoints[0][1]}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address, _ in endpoints],
    }


class Ingora(Peer):
    """The gateway of this repository."""

    name = "ingora"

    def manifest(self, name, objects):
        """Writes a file of manifests; JSON is YAML."""
        self.write(f"manifests/{name}.yaml", "\n---\n".join(json.dumps(one) for one in objects))

    def start(self):
        os.makedirs(self.path("manifests"), exist_ok=True)
        for host, paths, target in self.site.routes():
            self.manifest(host, [ingress(host, paths, target, self.site.failover)])
        for name, endpoints, _ in self.site.services():
            self.manifest(name, service(name, endpoints))
        secret = {
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "tls", "namespace": "shop"},
            "stringData": {"tls.crt": read(self.crt), "tls.key": read(self.key)},
        }
        self.manifest("secret", [secret])
        self.healthz = free_port()
        self.launch(
            [self.binaries["ingora"], "run", "--manifests", self.path("manifests"), "--bind-address", "127.0.0.1"]
            + ["--http-port", str(self.http), "--https-port", str(self.https), "--healthz-port", str(self.healthz)]
            + ["--threads", str(self.workers), "--default-ssl-certificate", "shop/tls"]
            + ["--access-log", "true" if self.log else "false", "--log-level", "error"]
            + ["--max-requests-per-connection", "1000000000", "--keep-alive", "600s"],
        )

    def change(self, turn):
        self.manifest("svc-0", service("svc-0", self.site.endpoints(0, turn)))
        host = "h1.shop.test"
        self.manifest(host, [ingress(host, self.site.paths_of(1, turn), "svc-1", None)])
