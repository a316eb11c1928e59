# The server as an image, in two stages: a compiler builds, the image only runs.
#
#   docker build --tag rag-grpc .
#   docker run --read-only --publish 50051:50051 --volume rag-data:/data rag-grpc
#
# BASE is any image with Python 3.11 or newer, its venv module and its C headers, and
# apt for the build stage. `make image-check` passes one that it makes without Docker.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# Set by BuildKit; empty elsewhere, where the machine's own architecture counts.
ARG TARGETARCH
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends binutils g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/rag-grpc && /opt/rag-grpc/bin/pip install --no-cache-dir --quiet --upgrade 'pip>=25.3'
WORKDIR /build

# Dependencies first, from pyproject.toml alone: a change of the code leaves this layer.
#
# hnswlib has no wheels and builds for the processor at hand (-march=native), so an
# image would die of an illegal instruction on an older one: often first in production.
# x86-64-v3 (AVX2; servers since 2013) costs 5 % of native speed, the baseline 25 %;
# other architectures take their baseline. The last line proves that no AVX-512 is left.
COPY pyproject.toml tools/build-constraints.txt ./
RUN set -eu; \
    python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        | grep --invert-match '^rag-grpc-client' > requirements.txt; \
    if [ "${TARGETARCH:-$(dpkg --print-architecture)}" = amd64 ]; then export CXXFLAGS=-march=x86-64-v3; fi; \
    HNSWLIB_NO_NATIVE=1 /opt/rag-grpc/bin/pip install --no-cache-dir --quiet \
        --build-constraint build-constraints.txt --requirement requirements.txt; \
    built=$(find /opt/rag-grpc -name 'hnswlib*.so'); test -n "$built"; \
    if objdump --disassemble "$built" | grep --quiet zmm; then echo "hnswlib was built for AVX-512"; exit 1; fi

COPY README.md LICENSE ./
COPY clients/python clients/python
COPY rag_grpc rag_grpc
RUN /opt/rag-grpc/bin/pip install --no-cache-dir --quiet --no-deps ./clients/python . \
    && /opt/rag-grpc/bin/pip check


FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rag-grpc" \
      org.opencontainers.image.description="Retrieval-augmented generation as one gRPC service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, not a name: Kubernetes can then see by itself that it is not root.
RUN groupadd --gid 10001 rag \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rag \
    && install --directory --owner=10001 --group=10001 --mode=0750 /data
COPY --from=build /opt/rag-grpc /opt/rag-grpc

# Listening on every interface is right inside a container and nowhere else, so it is
# set here and not in the code. Nothing is written but /data: the root may be read-only.
ENV PATH=/opt/rag-grpc/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAG_LISTEN=0.0.0.0:50051 \
    RAG_HTTP_LISTEN=0.0.0.0:8000 \
    RAG_DATA_DIR=/data \
    RAG_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 50051 8000
STOPSIGNAL SIGTERM

# A server that loads a large index says NOT_SERVING; the start period allows for that.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5m --retries=3 CMD ["rag-grpc", "health"]
ENTRYPOINT ["rag-grpc"]
CMD ["serve"]
