"""nginx, configured as ingress-nginx would without its Lua: a server for each host, a location for each path."""

import signal

from .peer import Peer

PROXY = """
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_buffering off;
    client_max_body_size 0;
    client_body_buffer_size 1m;
"""

LOG = """
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" $request_length $request_time $upstream_addr $upstream_response_length '
        '$upstream_response_time $upstream_status $request_id';
"""


class Nginx(Peer):
    """Debian's nginx."""

    name = "nginx"
    version_flags = ["-v"]
    # ingress-nginx: --sync-rate-limit 0.3, which is one reload in 3.3 seconds.
    apply_every = 1 / 0.3

    def upstreams(self, turn=0):
        """Every Service."""
        for name, endpoints, _ in self.site.services():
            if turn and name == "svc-0":
                endpoints = self.site.endpoints(0, turn)
            # ingress-nginx counts no failures; where endpoints fail, nginx may use what it has.
            fails = "max_fails=1 fail_timeout=1s" if self.site.failover else "max_fails=0"
            servers = "".join(f"server {address}:{port} {fails}; " for address, port in endpoints)
            yield f"upstream {name} {{ {servers} keepalive 320; keepalive_requests 1000000000; }}\n"

    def server(self, host, paths, service):
        """One host."""
        locations = "".join(f"location {path} {{ proxy_pass http://{service}; }}\n" for path in paths)
        if service == "grpc":
            locations = "location / { grpc_pass grpc://grpc; }\n"
        if service == "ws":
            locations = (
                "location / { proxy_pass http://ws; proxy_set_header Upgrade $http_upgrade; "
                'proxy_set_header Connection "upgrade"; proxy_http_version 1.1; }\n'
            )
        return (
            f"server {{ server_name {host}; listen 127.0.0.1:{self.http}; "
            f"listen 127.0.0.1:{self.https} ssl http2;\n{locations}}}\n"
        )

    def configuration(self, turn=0):
        """The whole file."""
        timeouts = "proxy_connect_timeout 1s; proxy_read_timeout 1s;" if self.site.failover else ""
        again = "error timeout http_503"
        if self.site.failover and not self.site.failover.retries:
            again = "off"
        log = f"access_log {self.path('access.log')} main;" if self.log else "access_log off;"
        first = (
            f"server {{ server_name _; listen 127.0.0.1:{self.http} default_server reuseport backlog=4096; "
            f"listen 127.0.0.1:{self.https} default_server reuseport ssl http2 backlog=4096; return 404; }}\n"
        )
        return "".join(
            [
                f"daemon off; worker_processes {self.workers}; worker_rlimit_nofile 65536; pid {self.path('pid')};\n",
                f"error_log {self.path('error.log')} crit; events {{ worker_connections 32768; multi_accept on; }}\n",
                f"http {{ {LOG} {log}\n",
                f"client_body_temp_path {self.path('body')};\n",
                "server_names_hash_max_size 8192; server_names_hash_bucket_size 128; keepalive_timeout 600s;\n",
                "keepalive_requests 1000000000; http2_max_requests 1000000000; tcp_nodelay on;\n",
                f"ssl_certificate {self.crt}; ssl_certificate_key {self.key}; ssl_protocols TLSv1.2 TLSv1.3;\n",
                "ssl_session_cache shared:SSL:10m; ssl_session_tickets on; ssl_conf_command Ciphersuites ",
                "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;\n",
                f"{PROXY} {timeouts} proxy_next_upstream {again}; proxy_next_upstream_tries 3;\n",
                # An empty field keeps connections to endpoints open.
                'proxy_set_header Connection "";\n',
                *self.upstreams(turn),
                first,
                *(self.server(*route) for route in self.site.routes(turn)),
                "}\n",
            ]
        ).replace("http2_max_requests 1000000000; ", "")

    def start(self):
        self.write("nginx.conf", self.configuration())
        self.launch([self.binaries["nginx"], "-c", self.path("nginx.conf"), "-p", self.folder])

    def change(self, turn):
        self.write("nginx.conf", self.configuration(turn))
        self.process.send_signal(signal.SIGHUP)
