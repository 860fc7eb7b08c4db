"""The load test: gateways side by side, interleaved, against the same backends."""
