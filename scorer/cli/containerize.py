"""`scorer bundle containerize`: write the build context of an image with one bundle, and optionally build it."""

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, SetOption, StoreOption, settings_of


def containerize(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="name:version, name:latest, name@digest, or a bundle's folder.")
    ],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder; it must not exist yet.")],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="Base image, which contains the scorer; default: streaming-credit-scorer:VERSION."
        ),
    ] = None,
    build: Annotated[bool, typer.Option("--build", help="Also build the image, with Docker or Podman.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Write the build context of an image with one bundle: a Dockerfile and the bundle.

    The image is the scorer's own image, whose worker is pinned to this bundle. The build verifies the bundle with the
    libraries in the image. Settings come from SCORER_* environment variables of the container.

    Examples:
    ```
    scorer bundle containerize credit-risk:1.1.0 --output image
    scorer bundle containerize credit-risk:latest --output image --base registry.example/scorer:0.1.0 --build
    ```
    """
    from scorer.author.container import BASE_IMAGE, build_image, write_context
    from scorer.store.store import BundleStore

    folder = BundleStore(settings_of(config, None, assignments, store=store).settings.store).find(reference)
    manifest = write_context(folder, output, base or BASE_IMAGE)
    typer.echo(f"wrote the build context of {manifest.name}:{manifest.version} to {output}")
    if build:
        typer.echo(
            f"built {build_image(output, manifest)}; run it: docker run --env SCORER_BOOTSTRAP_SERVERS=… -p 9464:9464"
        )
    else:
        typer.echo(f"Next: docker build --tag {manifest.name}:{manifest.version} {output}")
