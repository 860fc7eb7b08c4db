#!/usr/bin/env bash
# Checks dashboards and rules: that they fit the metrics, the rules' unit tests, and every expression against a real
# Prometheus that scrapes a gateway under traffic. About a minute, without building.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for tool in prometheus openssl python3; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} != 0 ]; then
  echo "dashboards: installing ${missing[*]}" >&2
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq </dev/null
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

cargo run --quiet --package xtask -- dashboards
promtool check rules dashboards/rules/ingora.yaml
promtool test rules dashboards/rules/ingora.test.yaml
cargo build --quiet --package ingora
dashboards/proof/prove.py --ingora "${CARGO_TARGET_DIR:-target}/debug/ingora"
