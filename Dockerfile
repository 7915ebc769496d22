# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
# aws-lc and the bundled SQLite are C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential cmake pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches are not part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin threadline \
    && cp target/release/threadline /usr/local/bin/threadline \
    && mkdir /data

# The C library and certificates, and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usr/local/bin/threadline /usr/local/bin/threadline
COPY --from=build --chown=10001:10001 /data /data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV DATABASE_URL=sqlite:///data/threadline.db \
    REST_LISTEN=0.0.0.0:8000 \
    RPC_LISTEN=0.0.0.0:8001 \
    LOG_FORMAT=json
EXPOSE 8000 8001
# Longer than DRAIN_SECONDS: `docker stop --time 20`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/threadline", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/threadline"]
CMD ["serve"]
