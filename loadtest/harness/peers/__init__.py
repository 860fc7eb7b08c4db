"""The gateways that are compared."""

from .caddy import Caddy
from .envoy import Envoy
from .haproxy import Haproxy
from .ingora import Ingora
from .nginx import Nginx

ALL = {peer.name: peer for peer in (Ingora, Nginx, Haproxy, Envoy, Caddy)}
