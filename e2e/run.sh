#!/usr/bin/env bash
# Builds a Kubernetes cluster from source and runs the tests in it: run.sh [FLAGS OF THE TEST BINARY], such as
# run.sh -test.run Rollout. What it starts lives in namespaces of its own and ends with it, even when it is killed.
# INGORA_BIN: the binary under test (built when empty). INGORA_E2E_CACHE: where programs are kept (~/.cache/ingora-e2e).
# INGORA_E2E_DIR: where state and logs go (a temporary folder, removed when all is well).
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin"

say() { echo "e2e: $*" >&2; }
fail() { say "$*"; exit 1; }
for tool in go ip unshare nsenter; do
  command -v "$tool" >/dev/null || fail "$tool is missing; scripts/setup.sh --e2e installs what is needed"
done
[ "$(id -u)" = 0 ] || fail "this makes network namespaces and must run as root"

cache=${INGORA_E2E_CACHE:-$HOME/.cache/ingora-e2e}
bin=$cache/bin
mkdir -p "$bin"
# The cache of compiled packages is Go's own; GOTOOLCHAIN fetches the version of go.mod where the installed one is older.
export CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-trimpath

# Stamps say which sources a program was built from: linking alone takes longer than many a test.
build() { # NAME PACKAGE SOURCES LDFLAGS
  local stamp
  stamp=$(cat go.mod go.sum $3 run.sh | sha256sum)
  [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.stamp" 2>/dev/null)" = "$stamp" ] && return
  say "building $1"
  go build -ldflags "-s -w $4" -o "$bin/$1" "$2"
  echo "$stamp" >"$bin/$1.stamp"
}
kubernetes=$(sed -n 's|^\tk8s.io/kubernetes ||p' go.mod)
minor=$(echo "$kubernetes" | cut -d. -f2)
version=k8s.io/component-base/version
build controlplane ./controlplane 'controlplane/main.go controlplane/etcd.go' \
  "-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"
chartutil=helm.sh/helm/v3/pkg/chartutil
build helm helm.sh/helm/v3/cmd/helm '' "-X $chartutil.k8sVersionMajor=1 -X $chartutil.k8sVersionMinor=$minor"
build sandbox ./sandbox 'sandbox/main.go cluster/spec/spec.go' ''
build backend ./backend backend/main.go ''
[ -z "$(gofmt -l .)" ] || fail "gofmt -w these: $(gofmt -l .)"
go test -c -o "$bin/e2e.test" .

if [ -z "${INGORA_BIN:-}" ]; then
  (cd .. && cargo build --quiet --package ingora)
  INGORA_BIN=${CARGO_TARGET_DIR:-../target}/debug/ingora
fi
INGORA_BIN=$(realpath "$INGORA_BIN")

dir=${INGORA_E2E_DIR:-$(mktemp -d /tmp/ingora-e2e.XXXXXX)}
mkdir -p "$dir"
if unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
  "$bin/e2e.test" -bin "$bin" -ingora "$INGORA_BIN" -dir "$dir" -test.timeout 25m "$@"; then
  [ -n "${INGORA_E2E_DIR:-}" ] || rm -rf "$dir"
else
  fail "logs are in $dir"
fi
