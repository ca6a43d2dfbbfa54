# The gateway on any slim base that has a Python: `docker build .`, or `make image` where no registry can be reached.
# See docs/image.md.
ARG BASE=python:3.11-slim-bookworm

# ---- What is built here is thrown away, but for /opt/dis-gateway.
FROM ${BASE} AS builder
# Set by scripts/image, which brings the wheels along; a mirror may be named with PIP_INDEX_URL. pip reads them all.
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PIP_INDEX_URL
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
COPY . /src
WORKDIR /src
# Where the base has no pip, the one among the wheels runs from its own file.
RUN set -eu; \
    python3 -m pip --version >/dev/null 2>&1 || export PYTHONPATH="$(echo /src/wheels/pip-*.whl)"; \
    python3 -m venv --without-pip /opt/build; \
    python3 -m venv --without-pip /opt/dis-gateway; \
    pip="python3 -m pip"; \
    $pip --python /opt/build/bin/python install -q --require-hashes --only-binary :all: -r requirements/build.txt; \
    /opt/build/bin/python -m pip wheel -q --no-deps --no-build-isolation -w /opt/build .; \
    $pip --python /opt/dis-gateway/bin/python install -q --no-compile --require-hashes --only-binary :all: \
      -r requirements/runtime.txt; \
    $pip --python /opt/dis-gateway/bin/python install -q --no-compile --no-deps --no-index /opt/build/*.whl
# What a running gateway has no use for, then bytecode that neither a clock nor a path of this build can change.
RUN set -eu; cd /opt/dis-gateway; \
    rm -rf include; find bin -type f ! -name dis-gateway -delete; \
    find . -depth \( -name tests -o -name __pycache__ \) -type d -path '*/site-packages/*' -exec rm -r {} +; \
    find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete; \
    bin/python -m compileall -q -j 1 --invalidation-mode unchecked-hash lib; \
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# ---- The image. Nothing is run here, so the base needs no shell.
FROM ${BASE}
ARG BASE
ARG VERSION=
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="dis-gateway" \
      org.opencontainers.image.description="A gRPC sidecar that keeps consumer checkpoints of DIS streams" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=builder /opt/dis-gateway /opt/dis-gateway
ENV PATH=/opt/dis-gateway/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that `runAsNonRoot` can be checked; it needs no entry in /etc/passwd.
USER 65532:65532
WORKDIR /
ENTRYPOINT ["dis-gateway"]
CMD ["serve"]
