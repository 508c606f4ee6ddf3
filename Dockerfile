# Two stages: one builds, one runs. The image holds the program, ONNX Runtime's library and the bundled model, and nothing to build with.

FROM rust:1.95-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libssl-dev pkg-config python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY scripts scripts
RUN scripts/fetch-onnxruntime.sh
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY migrations migrations
COPY tests tests
COPY models models
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tertulia \
    && install -D target/release/tertulia /out/bin/tertulia \
    && install -D --mode=644 --target-directory=/out/lib .cache/onnxruntime/lib/* \
    && mkdir -p /out/share/tertulia \
    && cp -r models /out/share/tertulia/models

FROM debian:bookworm-slim
# espeak-ng speaks, as a program of its own. libpq is built in and speaks TLS through OpenSSL; ca-certificates lets it check the server it speaks to.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates espeak-ng libssl3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home tertulia \
    && install --directory --mode=700 --owner=tertulia /data
COPY --from=build /out /usr/local
USER 10001
ENV HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["tertulia", "healthcheck"]
ENTRYPOINT ["tertulia"]
CMD ["serve"]
