"""What the gateway serves during the proof: pods on loopback, and the manifests that name them."""

import http.server
import json
import os
import subprocess
import threading
import time


class Pod(http.server.BaseHTTPRequestHandler):
    """Answers 200, or as the path says: /status/500, /sleep/3."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, (_, *words) = 200, self.path.split("/")
        if len(words) == 2 and words[1].isdigit():
            number = int(words[1])
            if words[0] == "status":
                status = number
            elif words[0] == "sleep":
                time.sleep(number)
        body = b"" if self.command == "HEAD" else b"hello\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A pod's threads, which end with the process."""

    daemon_threads = True

    def handle_error(self, *_):
        """Clients that leave are part of the traffic."""


def start_pod(port=0):
    """A pod's port; any that is free unless one is named."""
    server = Server(("127.0.0.1", port), Pod)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def service(name, endpoints, annotations=None):
    """A Service and its endpoints as (port, ready)."""
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations or {}},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    for number, (port, ready) in enumerate(endpoints):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "metadata": {
                "name": f"{name}-{number}",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": name},
            },
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
        }


def ingress(name, host, services, annotations=None, tls=None):
    """An Ingress with a path for each Service: `/` for the first, `/NAME` for the others."""
    paths = [
        {
            "path": "/" if number == 0 else f"/{target}",
            "pathType": "Prefix",
            "backend": {"service": {"name": target, "port": {"number": 80}}},
        }
        for number, target in enumerate(services)
    ]
    spec = {"ingressClassName": "ingora", "rules": [{"host": host, "http": {"paths": paths}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": tls}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations or {}},
        "spec": spec,
    }


def certificate(folder, host):
    """A Secret with a certificate that ends in five days."""
    key, crt = os.path.join(folder, "tls.key"), os.path.join(folder, "tls.crt")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5"]
        + ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", crt],
        check=True,
        stderr=subprocess.DEVNULL,
    )

    def read(path):
        with open(path, encoding="ascii") as file:
            return file.read()

    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "shop-tls", "namespace": "shop"},
        "stringData": {"tls.crt": read(crt), "tls.key": read(key)},
    }


class Site:
    """The folder of manifests; one of them changes with every call of `change`."""

    def __init__(self, folder, closed_port, lost_port, stream_port):
        self.folder = os.path.join(folder, "manifests")
        os.mkdir(self.folder)
        self.closed_port = closed_port
        self.pods = [start_pod(), start_pod()]
        ready = [(port, True) for port in self.pods]
        self.write(
            "shop",
            [
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "IngressClass",
                    "metadata": {"name": "ingora"},
                    "spec": {"controller": "ingora.io/ingress-controller"},
                },
                ingress("web", "shop.test", ["cart", "flaky", "gone", "empty", "tight", "lost"], tls="shop-tls",
                        annotations={"nginx.ingress.kubernetes.io/ssl-redirect": "false",
                                     # Retries beyond those of refused connections.
                                     "nginx.ingress.kubernetes.io/proxy-next-upstream": "error timeout http_503",
                                     # Honoured with a difference.
                                     "nginx.ingress.kubernetes.io/proxy-buffering": "on"}),
                # A value that cannot be read: a note.
                ingress("broken", "broken.test", ["cart"],
                        annotations={"nginx.ingress.kubernetes.io/proxy-read-timeout": "soon"}),
                ingress("orphan", "orphan.test", ["no-such-service"]),
                *service("cart", ready),
                *service("flaky", [*ready, (closed_port, True)]),
                *service("gone", [(closed_port, True)]),
                *service("empty", [(self.pods[0], False)]),
                # One at a time, one that waits, the others are turned away.
                *service("tight", ready, {"ingora.io/max-requests": "1", "ingora.io/max-pending-requests": "1"}),
                *service("lost", [(lost_port, True)]),
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "tcp", "namespace": "shop"},
                    "data": {str(stream_port): "shop/cart:80"},
                },
                # A key that is not honoured.
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "controller", "namespace": "shop"},
                    "data": {"opentelemetry-config": "/etc/otel.toml"},
                },
                certificate(folder, "shop.test"),
            ],
        )
        self.changes = 0
        self.change()

    def mend(self):
        """The pod that refused connections comes back."""
        start_pod(self.closed_port)

    def change(self):
        """Another path of one Ingress, another endpoint of one Service."""
        self.changes += 1
        name = f"path-{self.changes}"
        self.write(
            "moving",
            [ingress("moving", "moving.test", ["cart", name]), *service(name, [(self.pods[self.changes % 2], True)])],
        )

    def write(self, name, objects):
        """Replaces a file in one step."""
        path = os.path.join(self.folder, f"{name}.yaml")
        # JSON is YAML.
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write("\n---\n".join(json.dumps(one) for one in objects))
        os.replace(path + ".new", path)
