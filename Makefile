# What one does with this repository. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint docs release fuzz image dashboards-test e2e manifests loadtest instructions
# Where rustup puts cargo; a shell that was open before the installation does not have it yet.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: ## Install what the build needs and is missing (Debian and Ubuntu; elsewhere it says what to install)
	@scripts/setup.sh

demo: setup ## A gateway with example services on 127.0.0.1:8080 and :8443; Ctrl-C ends
	@cargo build --package ingora
	@cargo run --quiet --package ingora -- demo

test: setup ## All tests
	cargo test --workspace

bench: setup ## All benchmarks
	cargo bench --workspace

lint: setup ## Format, clippy and the workspace's own checks
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo run --quiet --package xtask -- tidy

docs: setup ## Rewrite the generated pages of docs/
	UPDATE=1 cargo test --package ingora --test docs

dashboards-test: setup ## Check dashboards, rules and their expressions against a real Prometheus
	@scripts/dashboards.sh

e2e: ## Tests in a real cluster: builds Kubernetes from source the first time; needs root
	@scripts/setup.sh --e2e
	@e2e/run.sh

manifests: ## Rewrite deploy/ from the chart
	@scripts/setup.sh --e2e
	@e2e/manifests.sh

instructions: setup ## Count the instructions of a request and a change, and compare with the baseline
	@scripts/instructions.py

loadtest: setup ## Compare with nginx, HAProxy, Envoy and Caddy on this machine; about 45 minutes
	@loadtest/run.py

release: setup ## The optimised binary, target/release/ingora, guided by a profile (PGO=0 without, which is quicker)
	@scripts/release.sh

fuzz: setup ## Each fuzz target for 30 seconds; needs nightly Rust and cargo-fuzz
	fuzz/run.sh 30

image: ## The container image ingora:dev
	docker build --tag ingora:dev .
