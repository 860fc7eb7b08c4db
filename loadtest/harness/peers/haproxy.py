"""HAProxy, configured as its ingress controllers do: a map from host and path to backend."""

import signal
import socket

from .peer import Peer


class Haproxy(Peer):
    """Debian's HAProxy."""

    name = "haproxy"
    version_flags = ["-v"]
    # haproxy-ingress: --rate-limit-update 0.5. Endpoints go through the runtime API, which is not limited.
    apply_every = 2.0

    @classmethod
    def failover_variants(cls):
        return [("haproxy", True), ("haproxy, no checks", False)]

    def backend(self, name, endpoints, protocol):
        """One Service."""
        proto = " proto h2" if protocol == "grpc" else ""
        failover, check, retries = self.site.failover, "", ""
        if failover:
            retries = "  retries 0\n"
            if failover.retries:
                retries = "  retries 3\n  option redispatch 1\n  retry-on conn-failure empty-response response-timeout 503\n"
            if failover.checks:
                retries += "  option httpchk\n"
                check = " check inter 1s fall 1 rise 1 observe layer7 error-limit 3 on-error mark-down"
        servers = "".join(
            f"  server e{number} {address}:{port}{proto}{check} pool-max-conn 1000\n"
            for number, (address, port) in enumerate(endpoints, 1)
        )
        return f"backend {name}\n  balance roundrobin\n  http-reuse always\n{retries}{servers}"

    def configuration(self):
        """The whole file."""
        log = "  log-format \"%ci %[var(txn.host)] [%tr] %ST %B %TR/%Tw/%Tc/%Tr/%Ta %b/%s %{+Q}r\"\n  log global\n" if self.log else ""
        waits = "1s" if self.site.failover else "60s"
        return "".join(
            [
                f"global\n  nbthread {self.workers}\n  maxconn 8000\n  tune.bufsize 16384\n",
                f"  stats socket {self.path('socket')} mode 600 level admin expose-fd listeners\n",
                "  ssl-default-bind-options ssl-min-ver TLSv1.2\n",
                "  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384\n",
                "  log stdout format raw local0\n" if self.log else "",
                f"defaults\n  mode http\n  timeout connect {waits if self.site.failover else '5s'}\n  timeout client 600s\n",
                f"  timeout server {waits}\n  timeout tunnel 600s\n  timeout http-keep-alive 600s\n  option http-keep-alive\n",
                f"frontend all\n  bind 127.0.0.1:{self.http}\n",
                f"  bind 127.0.0.1:{self.https} ssl crt {self.pem} alpn h2,http/1.1\n{log}",
                "  http-request set-var(txn.host) req.hdr(host)\n",
                "  unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt\n  unique-id-header X-Request-ID\n",
                "  http-request set-header X-Real-IP %[src]\n  http-request set-header X-Forwarded-For %[src]\n",
                "  http-request set-header X-Forwarded-Host %[req.hdr(host)]\n",
                "  http-request set-header X-Forwarded-Port %[dst_port]\n",
                "  http-request set-header X-Forwarded-Proto https if { ssl_fc }\n",
                "  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }\n",
                "  http-request set-header X-Forwarded-Scheme http if !{ ssl_fc }\n",
                "  http-request set-header X-Scheme http if !{ ssl_fc }\n",
                f"  use_backend %[base,map_beg({self.path('routes.map')})]\n",
                *(self.backend(*service) for service in self.site.services()),
            ]
        )

    def routes(self, turn=0):
        """The map."""
        lines = (f"{host}{path} {service}\n" for host, paths, service in self.site.routes(turn) for path in paths)
        self.write("routes.map", "".join(lines))

    def start(self):
        self.routes()
        self.write("haproxy.cfg", self.configuration())
        self.launch([self.binaries["haproxy"], "-W", "-f", self.path("haproxy.cfg")])

    def change_at_once(self, turn):
        """Other endpoints through the runtime API."""
        left = {address for address, _ in self.site.endpoints(0, turn)}
        for number, (address, _) in enumerate(self.site.endpoints(0), 1):
            state = "ready" if address in left else "maint"
            with socket.socket(socket.AF_UNIX) as api:
                api.connect(self.path("socket"))
                api.sendall(f"set server svc-0/e{number} state {state}\n".encode())
                api.recv(4096)

    def change(self, turn):
        self.routes(turn)
        self.process.send_signal(signal.SIGUSR2)
