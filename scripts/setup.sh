#!/usr/bin/env bash
# Installs what the build needs and is missing. Quick when nothing is missing; safe to run again.
set -euo pipefail

# The workspace's rust-version.
readonly RUST=1.91
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    fail "run this as root, or install sudo: $*"
  fi
}

missing_packages() {
  has cc && has make || echo build-essential
  has cmake || echo cmake
  has clang || echo clang
  has pkg-config || echo pkg-config
  has curl || echo curl
  has git || echo git
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || echo ca-certificates
}

install_packages() {
  has apt-get || fail "install these yourself, this system has no apt-get: $*"
  say "installing $*"
  as_root apt-get update -qq </dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

rust_is_recent() {
  local version
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$version" ] && has cargo && [ "$(printf '%s\n' "$RUST" "$version" | sort -V | head -n1)" = "$RUST" ]
}

can_be_root() { [ "$(id -u)" = 0 ] || has sudo; }

debian_has_rustup() {
  has apt-get && can_be_root && as_root apt-get update -qq </dev/null && apt-cache show rustup >/dev/null 2>&1
}

# Into ~/.cargo, as https://rustup.rs does.
install_rustup() {
  local folder result=0
  folder=$(mktemp -d)
  say "installing rustup into ~/.cargo"
  # The program goes by its own name: under another it is a proxy for cargo and the like.
  curl --proto '=https' --tlsv1.2 -sSf --retry 2 -o "$folder/rustup-init" \
    "https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init" &&
    chmod +x "$folder/rustup-init" &&
    "$folder/rustup-init" -y --no-modify-path --profile minimal --default-toolchain none >/dev/null </dev/null ||
    result=1
  rm -rf "$folder"
  return $result
}

install_rust() {
  if ! has rustup && debian_has_rustup; then install_packages rustup; fi
  has rustup || install_rustup ||
    fail "rustup could not be installed; install Rust $RUST or later as https://rustup.rs says, then run this again"
  say "installing the stable Rust toolchain"
  rustup toolchain install stable --profile minimal --component clippy --component rustfmt </dev/null
  rust_is_recent || rustup default stable </dev/null
  rust_is_recent || fail "cargo is still older than $RUST; is another Rust first in PATH? $(command -v cargo)"
}

mapfile -t packages < <(missing_packages)
[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
rust_is_recent || install_rust
if has rustup && ! { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
  rustup component add clippy rustfmt </dev/null
fi
