#!/bin/sh
# Runs fuzz targets for some seconds each: fuzz/run.sh [SECONDS [TARGET...]]. Skips, saying why, where libFuzzer cannot
# run. The target `manifest` takes long to build: it needs the whole control plane.
set -eu
cd "$(dirname "$0")"
seconds=${1:-30}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- annotations request_head manifest

skip() {
    echo "fuzz: skipped: $1"
    exit 0
}
command -v cargo >/dev/null || skip "there is no cargo; run make setup"
cargo +nightly --version >/dev/null 2>&1 || skip "there is no nightly compiler; run: rustup toolchain install nightly"
cargo fuzz --version >/dev/null 2>&1 || skip "there is no cargo-fuzz; run: cargo install --locked cargo-fuzz"

TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT INT TERM
for target in "$@"; do
    features=libfuzzer
    [ "$target" != manifest ] || features=libfuzzer,manifest
    mkdir -p "corpus/$target"
    echo "fuzz: $target for $seconds s"
    cargo +nightly fuzz run --fuzz-dir . --no-default-features --features "$features" "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1
done
