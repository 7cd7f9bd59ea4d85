"""`scorer worker`: run one worker."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scorer.cli.completion import complete_reference
from scorer.cli.options import DEFAULT_BUNDLE, ConfigOption, ServersOption, SetOption, settings_of

if TYPE_CHECKING:
    from scorer.settings import Settings
    from scorer.stream.follow import Bundles

BundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="REF",
        help="Pin the worker to this bundle (name:version, name:tag, name@digest, or a folder); deployments are "
        "ignored.",
        autocompletion=complete_reference,
    ),
]


InstanceIdOption = Annotated[
    str | None, typer.Option(help="Unique name of this worker, kept across restarts (static membership).")
]


DeliveryOption = Annotated[
    Literal["exactly-once", "at-least-once"] | None,
    typer.Option("--delivery", help="When results and offsets are committed (default: exactly-once)."),
]


HttpPortOption = Annotated[
    int | None, typer.Option(help="Port for /metrics, /healthz and /readyz; 0 chooses a free one.")
]


def worker(
    bundle: BundleOption = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    group_id: Annotated[str | None, typer.Option(help="The consumer group to join.")] = None,
    instance_id: InstanceIdOption = None,
    delivery: DeliveryOption = None,
    http_port: HttpPortOption = None,
    assignments: SetOption = None,
) -> None:
    """Run one worker: consume applications, score them, publish decisions.

    It uses the champion, which `scorer deploy` sets; before the first deployment credit-risk:1.1.1.

    It joins the consumer group and shares the partitions with the other workers: add workers for more throughput, up to
    one per partition. On SIGTERM or Ctrl-C it finishes the current batch and leaves the group.

    Examples:
    ```
    scorer worker
    scorer worker -b kafka:9092 --instance-id scorer-0
    ```
    """
    from scorer.logs import log_to_stderr
    from scorer.stop import Stop

    stop = Stop()  # first, as the imports below take a second
    log_to_stderr()  # before the settings are read, so that their errors are logged, too

    from scorer.bundle.libraries import hide_scikit_learn
    from scorer.process import work
    from scorer.stream.librdkafka import limits
    from scorer.watchdog import Watchdog

    hide_scikit_learn()
    settings = settings_of(
        config,
        bootstrap_servers,
        assignments,
        group_id=group_id,
        instance_id=instance_id,
        delivery=delivery,
        http_port=http_port,
    ).settings
    log_to_stderr(settings.log_format, settings.log_level)
    watchdog = Watchdog(limits(settings).shutdown_s)
    watchdog.start()
    try:
        with closing(_open_bundles(settings, bundle)) as bundles:
            work(settings, bundles, stop, watchdog)
    finally:
        watchdog.leave()


def _open_bundles(settings: "Settings", pinned: str | None) -> "Bundles":
    from scorer.bundle.engine import with_engine
    from scorer.store.store import BundleStore
    from scorer.store.trust import Trust, locate_trusted
    from scorer.stream.follow import Follower, Pinned

    store = BundleStore(settings.store)
    if pinned is None:
        return Follower(settings, store, DEFAULT_BUNDLE)
    if settings.require_signatures:
        opened = locate_trusted(store, pinned, Trust(Path(str(settings.trusted_keys)))).open()
    else:
        opened = store.open(pinned)
    return Pinned(with_engine(opened, settings.engine))
