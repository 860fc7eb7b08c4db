# syntax=docker/dockerfile:1
# Builds the binary, then ships it alone: no shell, no package manager, not root.

FROM rust:1-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake clang openssl python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# 0 builds without a profile: quicker, and for a platform that this machine only emulates.
ARG PGO=1
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    scripts/release.sh \
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
