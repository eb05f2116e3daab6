# forward in an image of one file. Build: docker build -t forward .
# Run: docker run --env-file .env -p 8000:8000 -v forward-data:/app/data -v forward-log:/app/Log forward

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
# nomsgpack halves the binary (it drops a gin codec that is not used); without cgo it needs no C library to run.
RUN CGO_ENABLED=0 go build -tags nomsgpack -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/forward ./cmd/forward
# Directories that the user of the final stage may write to, also when no volume is mounted on them.
RUN mkdir -p /out/app/data /out/app/Log && chown -R 65532:65532 /out/app

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=build --chown=65532:65532 /out/app /app
COPY --from=build /out/forward /forward
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
WORKDIR /app
# Inside a container no client reaches 127.0.0.1. API keys without forward keys do not start there, unless OPEN_ACCESS=true.
# :: is both families, and IPv4 alone where the kernel has no IPv6.
ENV HOST=:: PORT=8000 DATA_DIR=/app/data LOG_DIR=/app/Log
VOLUME ["/app/data", "/app/Log"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/forward", "healthcheck"]
# SIGTERM, Docker's default, lets open requests finish within SHUTDOWN_TIMEOUT; give `docker stop --time` more than that.
ENTRYPOINT ["/forward"]
CMD ["run"]
