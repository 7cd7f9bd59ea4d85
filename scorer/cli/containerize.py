"""`scorer bundle containerize`: a bundle as a container's build context, and as an image where an engine is."""

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, SetOption, settings_of
from scorer.cli.train import StoreOption


def containerize(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="name:version, name:latest, name@digest, or a bundle's folder.")
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to; it must not be there yet.")],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="The image to build on, else python:X.Y.Z-slim, as the Python that is here."
        ),
    ] = None,
    build: Annotated[bool, typer.Option("--build", help="Build the image too, with Docker or Podman.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Write all that an image of one bundle is built from: Dockerfile, libraries' lock, this package, the bundle.

    The image runs a worker that decides with this bundle, whatever is deployed, not as root, with a health check. While
    it is built, the bundle is verified with the image's own libraries. Settings come from SCORER_* in the container's
    environment.

    Examples:
    ```
    scorer bundle containerize credit-risk:1.1.0 --output image
    scorer bundle containerize credit-risk:latest --output image --base python:3.13-slim --build
    ```
    """
    from scorer.bundle.container import BASE_IMAGE, build_image, write_context
    from scorer.bundle.store import BundleStore

    folder = BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference)
    manifest = write_context(folder, output, base or BASE_IMAGE)
    typer.echo(f"{manifest.name}:{manifest.version} is ready to be built, in {output}")
    if build:
        typer.echo(
            f"{build_image(output, manifest)} is built: docker run --env SCORER_BOOTSTRAP_SERVERS=… -p 9464:9464"
        )
    else:
        typer.echo(f"Next: docker build --tag {manifest.name}:{manifest.version} {output}")
