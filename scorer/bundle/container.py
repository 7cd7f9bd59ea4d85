"""A bundle as a container's build context: everything that the image is made of, but for its base and the libraries."""

import platform
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Final

from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import MANIFEST_FILE, Manifest
from scorer.bundle.wheel import write_wheel
from scorer.errors import EngineError, MisuseError

LOCK_FILE: Final = "requirements.lock"
LOCK: Final = Path(__file__).with_name("runtime.lock")
"""The libraries that a worker needs, each with version and digests; made by `make lock`."""
BASE_IMAGE: Final = f"python:{platform.python_version()}-slim"
"""The Python that runs here, since that is the one on which the bundle is known to hold."""

_ENGINES: Final = ("docker", "podman")
_ENGINE_ANSWER_S: Final = 30
_is_image = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}").fullmatch

# The base image has Python and no curl.
_HEALTH_CHECK: Final = (
    "import os, urllib.request as r; "
    "r.urlopen('http://127.0.0.1:' + os.environ['SCORER_HTTP_PORT'] + '/healthz', timeout=4)"
)

# Only what is named gets into the build, whatever else comes to lie in the folder.
_IGNORE: Final = f"*\n!{LOCK_FILE}\n!*.whl\n!bundles\n"

_DOCKERFILE: Final = Template("""\
# Decides with $reference, whatever is deployed. Made by `scorer bundle containerize`; build it from this folder.
ARG BASE=$base

FROM $${BASE} AS build
WORKDIR /build
COPY $lock $wheel ./
# The libraries by their digests, then this package without asking anybody; no installer gets into the image.
RUN python -m venv --without-pip /opt/scorer \\
    && pip --python /opt/scorer/bin/python install --no-cache-dir --no-deps --require-hashes -r $lock \\
    && pip --python /opt/scorer/bin/python install --no-cache-dir --no-deps --no-index ./$wheel

FROM $${BASE}
LABEL org.opencontainers.image.title="$name" \\
      org.opencontainers.image.version="$version" \\
      bundle.digest="$digest"
RUN useradd --uid 10001 --create-home scorer
COPY --from=build /opt/scorer /opt/scorer
COPY bundles /bundles
ENV PATH=/opt/scorer/bin:$${PATH} \\
    PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    SCORER_STORE=/bundles \\
    SCORER_HTTP_HOST=0.0.0.0 \\
    SCORER_HTTP_PORT=9464
# A scorer.toml can be mounted here.
WORKDIR /etc/scorer
# By number, so that a cluster can tell that it is not root.
USER 10001
# The golden examples, with this image's libraries: an image in which they do not come out is never built.
RUN ["scorer", "bundle", "verify", "$reference"]
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["python", "-c", "$health_check"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["scorer"]
CMD ["worker", "--bundle", "$reference"]
""")


def write_context(bundle: Path, output: Path, base: str = BASE_IMAGE) -> Manifest:
    """Writes the build context of a bundle: whole, or not at all.

    Args:
        bundle: the bundle's folder.
        output: where to; it must not be there yet.
        base: the image to build on; with `@sha256:…` it is pinned to the byte.

    Returns:
        The bundle's manifest.

    Raises:
        BundleError: the bundle is damaged.
        MisuseError: the folder is there already or cannot be written, or the base cannot name an image.
        ScorerError: this package is not installed.
    """
    if not _is_image(base):
        raise MisuseError(f"--base {base[:80]}: cannot name an image; python:3.13-slim can, with @sha256:… or without")
    if output.exists():
        raise MisuseError(f"--output {output}: is there already; name a folder that is not")
    load_bundle(bundle)
    manifest = read_manifest(bundle)
    incoming = output.parent / f".{output.name}-{secrets.token_hex(8)}"
    try:
        incoming.mkdir(parents=True)
        _fill(incoming, bundle, manifest, base)
        incoming.rename(output)
    except OSError as error:
        raise MisuseError(f"--output {output}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return manifest


def build_image(context: Path, manifest: Manifest) -> str:
    """Builds the image with the container engine of this machine; what the engine says goes to standard error.

    Returns:
        The image's tag.

    Raises:
        EngineError: no engine answers, or it cannot build; the context stays as it is.
    """
    tag = f"{manifest.name}:{manifest.version}"
    engine = _find_engine()
    if engine is None:
        raise EngineError(
            f"no container engine answers here ({' and '.join(_ENGINES)} were asked). The context is whole, in "
            f"{context}: build it where there is one, with `docker build --tag {tag} {context}`"
        )
    if subprocess.run([engine, "build", "--tag", tag, str(context)], stdout=sys.stderr, check=False).returncode:
        raise EngineError(f"{engine} could not build {context}; what it says stands above")
    return tag


def _find_engine() -> str | None:
    for engine in _ENGINES:
        try:
            asked = subprocess.run([engine, "info"], capture_output=True, timeout=_ENGINE_ANSWER_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if asked.returncode == 0:
            return engine
    return None


def _fill(folder: Path, bundle: Path, manifest: Manifest, base: str) -> None:
    shutil.copyfile(LOCK, folder / LOCK_FILE)
    wheel = write_wheel(folder)
    place = folder / "bundles" / manifest.name / manifest.version
    place.mkdir(parents=True)
    for name in (MANIFEST_FILE, *manifest.files):
        shutil.copyfile(bundle / name, place / name, follow_symlinks=False)
    (folder / ".dockerignore").write_text(_IGNORE, encoding="utf-8")
    dockerfile = _DOCKERFILE.substitute(
        base=base,
        digest=manifest.digest,
        health_check=_HEALTH_CHECK,
        lock=LOCK_FILE,
        name=manifest.name,
        reference=manifest.reference,
        version=manifest.version,
        wheel=wheel.name,
    )
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
