# The image of a release: the static binaries that the release workflow has built, and nothing else. No shell, no package
# manager. The Dockerfile at the top of the repository builds from the source code instead.
FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETARCH
COPY dist/${TARGETARCH}/threadline /usr/local/bin/threadline
# An empty directory that the service may write to.
COPY --chown=10001:10001 dist/data /data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV DATABASE_URL=sqlite:///data/threadline.db \
    REST_LISTEN=0.0.0.0:8000 \
    RPC_LISTEN=0.0.0.0:8001 \
    LOG_FORMAT=json
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/threadline", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/threadline"]
CMD ["serve"]
