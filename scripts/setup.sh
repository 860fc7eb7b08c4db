#!/usr/bin/env bash
# Installs what the build needs and is missing; with --e2e what the tests in a cluster need, too. Quick when nothing is
# missing; safe to run again.
set -euo pipefail

# The workspace's rust-version.
readonly RUST=1.91
# The Go of e2e/. Any Go since 1.21 fetches the version that it needs; where there is none, this one comes from the proxy.
readonly GO=1.26.8
declare -rA GO_SHA256=(
  [amd64]=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
  [arm64]=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99
)
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

[ "${1:-}" = --e2e ] || exit 0

go_is_recent() {
  local version
  version=$(PATH="$PATH:/usr/local/go/bin:$HOME/.cache/ingora-go/bin" go env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' 1.21 "${version#go}" | sort -V | head -n1)" = 1.21 ]
}

# Into ~/.cache/ingora-go, where e2e/run.sh looks last. The toolchain is a module like others.
install_go() {
  local arch file
  arch=$(dpkg --print-architecture 2>/dev/null || uname -m)
  [ -n "${GO_SHA256[$arch]:-}" ] || fail "install Go $GO or later as https://go.dev/doc/install says, then run this again"
  file=$(mktemp)
  say "installing Go $GO into ~/.cache/ingora-go"
  curl --proto '=https' -sSf --retry 2 -o "$file" \
    "https://proxy.golang.org/golang.org/toolchain/@v/v0.0.1-go$GO.linux-$arch.zip"
  echo "${GO_SHA256[$arch]}  $file" | sha256sum --check --quiet
  rm -rf ~/.cache/ingora-go ~/.cache/ingora-go.new
  mkdir -p ~/.cache/ingora-go.new
  unzip -q "$file" -d ~/.cache/ingora-go.new
  rm "$file"
  mv ~/.cache/ingora-go.new/golang.org/toolchain@* ~/.cache/ingora-go
  rm -r ~/.cache/ingora-go.new
  chmod +x ~/.cache/ingora-go/bin/* ~/.cache/ingora-go/pkg/tool/*/*
}

mapfile -t packages < <(
  has ip || [ -x /usr/sbin/ip ] || echo iproute2
  has unshare && has nsenter || echo util-linux
  has unzip || echo unzip
)
[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
go_is_recent || install_go
