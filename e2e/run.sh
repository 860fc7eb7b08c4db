#!/usr/bin/env bash
# Builds a Kubernetes cluster from source and runs the tests in it: run.sh [FLAGS OF THE TEST BINARY], such as
# run.sh -test.run Rollout. What it starts lives in namespaces of its own and ends with it, even when it is killed.
# INGORA_BIN: the binary under test (built when empty). INGORA_E2E_CACHE: where programs are kept (~/.cache/ingora-e2e).
# INGORA_E2E_DIR: where state and logs go (a temporary folder, removed when all is well).
set -euo pipefail
cd "$(dirname "$0")"
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin:/sbin:/usr/local/go/bin:$HOME/.cache/ingora-go/bin"

fail() { echo "e2e: $*" >&2; exit 1; }
for tool in go ip unshare nsenter; do
  command -v "$tool" >/dev/null || fail "$tool is missing; scripts/setup.sh --e2e installs what is needed"
done
root=()
[ "$(id -u)" = 0 ] || root=(sudo --preserve-env)

./build.sh
bin=${INGORA_E2E_CACHE:-$HOME/.cache/ingora-e2e}/bin
[ -z "$(gofmt -l .)" ] || fail "gofmt -w these: $(gofmt -l .)"
CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-trimpath go test -c -o "$bin/e2e.test" .
if [ -z "${INGORA_BIN:-}" ]; then
  (cd .. && cargo build --quiet --package ingora)
  INGORA_BIN=${CARGO_TARGET_DIR:-../target}/debug/ingora
fi

dir=${INGORA_E2E_DIR:-$(mktemp -d /tmp/ingora-e2e.XXXXXX)}
mkdir -p "$dir"
if "${root[@]}" unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
  "$bin/e2e.test" -bin "$bin" -ingora "$(realpath "$INGORA_BIN")" -dir "$dir" -test.timeout 25m "$@"; then
  [ -n "${INGORA_E2E_DIR:-}" ] || "${root[@]}" rm -rf "$dir"
else
  fail "logs are in $dir"
fi
