#!/usr/bin/env bash
# The optimised binary, guided by a profile of a short load of our own: target/release/ingora.
# PGO=0 leaves the profile out. Takes two optimised builds: tens of minutes on two processors.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
say() { echo "release: $*" >&2; }

if [ "${PGO:-1}" = 0 ]; then
  exec cargo build --release --locked --package ingora
fi

# The tool must understand the profiles of this very compiler, so it comes with it.
profdata() {
  local found
  found=$(find "$(rustc --print sysroot)" -name llvm-profdata -type f 2>/dev/null | head -n1)
  [ -n "$found" ] && echo "$found"
}
if ! profdata >/dev/null; then
  say "installing llvm-tools"
  rustup component add llvm-tools >/dev/null 2>&1 </dev/null ||
    { say "llvm-tools are missing; run: rustup component add llvm-tools (or PGO=0 make release)"; exit 1; }
fi
for tool in python3 openssl taskset; do
  command -v "$tool" >/dev/null || { say "$tool is missing, which the load needs; on Debian: apt-get install python3 openssl util-linux"; exit 1; }
done

profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT
# Named, so that build scripts are not profiled with it; in a folder of its own, so that ordinary builds stay as they are.
host=$(rustc -vV | sed -n 's/^host: //p')
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build --quiet --release --locked --package ingora --target "$host" --target-dir "$target/guided"
}

say "building the clients"
cargo build --quiet --profile bench --locked --package loadtest
say "building to be profiled"
build "-Cprofile-generate=$profiles"
say "running the load"
loadtest/train.py --ingora "$target/guided/$host/release/ingora" --clients "$target/release/loadtest"
"$(profdata)" merge -o "$profiles/merged.profdata" "$profiles"/*.profraw
say "building with the profile"
build "-Cprofile-use=$profiles/merged.profdata"
mkdir -p "$target/release"
cp "$target/guided/$host/release/ingora" "$target/release/ingora"
say "written: $target/release/ingora"
