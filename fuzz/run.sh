#!/bin/sh
# Runs every fuzz target for some seconds: fuzz/run.sh [SECONDS]. Skips, saying why, where libFuzzer cannot run.
set -eu
cd "$(dirname "$0")"
seconds=${1:-30}

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
for target in annotations request_head manifest; do
    mkdir -p "corpus/$target"
    echo "fuzz: $target for $seconds s"
    cargo +nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1
done
