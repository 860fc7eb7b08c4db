"""Caddy with its JSON configuration; changes go through its API, as its ingress controller does it."""

import json
import os
import urllib.request

from ..process import free_port
from .peer import Peer


class Caddy(Peer):
    """Debian's Caddy."""

    name = "caddy"
    version_flags = ["version"]

    def handler(self, name, endpoints, protocol):
        """The proxy to a Service."""
        transport = {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 320}}
        if protocol == "grpc":
            transport["versions"] = ["h2c"]
        if self.site.failover:
            transport |= {"dial_timeout": "1s", "response_header_timeout": "1s"}
        proxy = {
            "handler": "reverse_proxy",
            "transport": transport,
            "load_balancing": {"selection_policy": {"policy": "round_robin"}},
            "upstreams": [{"dial": f"{address}:{port}"} for address, port in endpoints],
        }
        if self.site.failover:
            if self.site.failover.retries:
                proxy["load_balancing"] |= {"retries": 3, "try_duration": "4s"}
            proxy["health_checks"] = {"passive": {"fail_duration": "1s", "max_fails": 1, "unhealthy_status": [503]}}
        return proxy

    def configuration(self, turn=0):
        """The whole configuration."""
        services = {name: (endpoints, protocol) for name, endpoints, protocol in self.site.services()}
        if turn:
            services["svc-0"] = (self.site.endpoints(0, turn), "http")
        # Every handler keeps connections of its own: one for each path would run out of file descriptors, and use none twice.
        alike = {}
        for host, paths, service in self.site.routes(turn):
            alike.setdefault((service, *(f"{path}*" for path in paths)), []).append(host)
        routes = [
            {"match": [{"host": hosts, "path": paths}], "handle": [self.handler(service, *services[service])], "terminal": True}
            for (service, *paths), hosts in alike.items()
        ]
        # Without it Caddy answers 200 to what nothing matches.
        routes.append({"handle": [{"handler": "static_response", "status_code": 404}]})
        server = {
            "listen": [f"127.0.0.1:{self.http}"], "routes": routes, "automatic_https": {"disable": True},
            "idle_timeout": "600s",
        }
        secure = dict(server, listen=[f"127.0.0.1:{self.https}"], tls_connection_policies=[{}])
        if self.log:
            server["logs"] = secure["logs"] = {}
        file = {"output": "file", "filename": self.path("access.log"), "roll": False}
        return {
            "admin": {"listen": f"127.0.0.1:{self.admin}", "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "INFO" if self.log else "ERROR", "writer": file}}},
            "apps": {
                "http": {"servers": {"plain": server, "secure": secure}},
                "tls": {"certificates": {"load_files": [{"certificate": self.crt, "key": self.key}]}},
            },
        }

    def start(self):
        self.admin = free_port()
        self.write("caddy.json", json.dumps(self.configuration()))
        environment = dict(os.environ, GOMAXPROCS=str(self.workers), HOME=self.folder, XDG_DATA_HOME=self.folder)
        self.launch([self.binaries["caddy"], "run", "--config", self.path("caddy.json")], env=environment)

    def change(self, turn):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/load", data=json.dumps(self.configuration(turn)).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=60).read()
