#!/usr/bin/env bash
# Builds the programs that the tests run, into $INGORA_E2E_CACHE/bin: build.sh [NAME...]; all without a name.
set -euo pipefail
cd "$(dirname "$0")"
# What is missing in PATH may lie here; see scripts/setup.sh.
export PATH="$PATH:/usr/local/go/bin:$HOME/.cache/ingora-go/bin"
# Compiled packages are cached by Go itself; GOTOOLCHAIN fetches the version of go.mod where the installed one is older.
export CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-trimpath
bin=${INGORA_E2E_CACHE:-$HOME/.cache/ingora-e2e}/bin
mkdir -p "$bin"
command -v go >/dev/null || { echo "e2e: go is missing; scripts/setup.sh --e2e installs it" >&2; exit 1; }

# Stamps say which sources a program was built from: linking alone takes longer than many a test.
build() { # NAME PACKAGE SOURCES LDFLAGS
  local stamp
  stamp=$(cat go.mod go.sum build.sh $3 | sha256sum)
  [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.stamp" 2>/dev/null)" = "$stamp" ] && return
  echo "e2e: building $1" >&2
  go build -ldflags "-s -w $4" -o "$bin/$1" "$2"
  echo "$stamp" >"$bin/$1.stamp"
}

kubernetes=$(sed -n 's|^\tk8s.io/kubernetes ||p' go.mod)
minor=$(echo "$kubernetes" | cut -d. -f2)
version=k8s.io/component-base/version
chartutil=helm.sh/helm/v3/pkg/chartutil
for program in "${@:-controlplane helm sandbox backend}"; do
  for name in $program; do
    case $name in
      controlplane)
        build "$name" ./controlplane 'controlplane/main.go controlplane/etcd.go' \
          "-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"
        ;;
      helm)
        build "$name" helm.sh/helm/v3/cmd/helm '' "-X $chartutil.k8sVersionMajor=1 -X $chartutil.k8sVersionMinor=$minor"
        ;;
      sandbox) build "$name" ./sandbox 'sandbox/main.go cluster/spec/spec.go' '' ;;
      backend) build "$name" ./backend backend/main.go '' ;;
    esac
  done
done
