# syntax=docker/dockerfile:1
# Builds the binary, then ships it alone: no shell, no package manager, not root.

FROM rust:1-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake clang \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package ingora \
 && objcopy --strip-debug target/release/ingora /ingora

# glibc, libgcc and CA certificates; user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /ingora /ingora
COPY --from=build /src/LICENSE /LICENSE
USER 65532:65532
# HTTP, HTTPS, and metrics with probes. Ports below 1024: see docs/container.md.
EXPOSE 80 443 10254
ENTRYPOINT ["/ingora"]
CMD ["run"]
