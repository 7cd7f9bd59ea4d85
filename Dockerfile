# The scorer: workers, the console, topic set-up and the load generator, in one image of which only the command differs.
# docs/containers.md describes what it contains, and why.
ARG BASE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
# Of the same Debian as the base, so that the engine finds its libraries there.
ARG RUST=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082

FROM ${RUST} AS engine
WORKDIR /build
COPY engine engine
RUN cargo build --locked --release --features python --manifest-path engine/Cargo.toml --target-dir target

FROM ${BASE} AS build
WORKDIR /build
COPY build.lock runtime.lock ./
# The libraries by their digests, in a layer of their own: a change of ours does not fetch them again.
RUN python -m venv --without-pip /opt/scorer \
    && python -m venv /opt/build \
    && pip --python /opt/scorer/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes -r runtime.lock \
    && find /opt/scorer \( -type d -name tests -o -name '*.pyi' -o -name '*.pyx' \) -prune -exec rm -r {} + \
    && pip --python /opt/build/bin/python install --no-cache-dir --no-deps --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY scorer scorer
COPY producer producer
# Installs this package without network access; the image contains neither an installer nor build tools.
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir . . \
    && pip --python /opt/scorer/bin/python install --no-cache-dir --no-deps --no-index ./*.whl
COPY --from=engine /build/target/release/libscorer_engine.so scorer_engine.abi3.so
# Imports every module that is used at run time, which compiles it; compiling all others would take 50 MB.
RUN cp scorer_engine.abi3.so /opt/scorer/lib/python3*/site-packages/ \
    && /opt/scorer/bin/python -c "import scorer.process, scorer.console.serve, scorer.monitor.tracing, s3fs" \
    && /opt/scorer/bin/scorer bundle verify credit-risk:1.1.1 --set engine=compiled

FROM ${BASE}
LABEL org.opencontainers.image.title="streaming-credit-scorer" \
      org.opencontainers.image.description="Credit decisions on Kafka, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"
# Mount point of the store's volume; created here so that a new volume belongs to the user scorer.
RUN useradd --uid 10001 --create-home scorer \
    && install --directory --owner=scorer --group=scorer /var/lib/scorer /var/lib/scorer/bundles /run/scorer
COPY --from=build /opt/scorer /opt/scorer
ENV PATH=/opt/scorer/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SCORER_STORE=/var/lib/scorer/bundles \
    SCORER_HTTP_HOST=0.0.0.0 \
    SCORER_HTTP_PORT=9464
# A scorer.toml can be mounted here.
WORKDIR /etc/scorer
# A numeric id, so that Kubernetes can verify runAsNonRoot.
USER 10001
# Both engines reproduce the golden examples of the shipped bundle with this image's libraries, or the build fails.
RUN ["scorer", "bundle", "verify", "credit-risk:1.1.1", "--set", "engine=compiled"]
EXPOSE 9464
# The base image has Python and no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SCORER_HTTP_PORT'] + '/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["scorer"]
CMD ["worker"]
