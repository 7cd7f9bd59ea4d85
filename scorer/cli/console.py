"""`scorer console`: the web console, for monitoring, trying, reviewing MAYBE decisions, and requeueing."""

from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, ServersOption, SetOption, settings_of
from scorer.errors import MisuseError
from scorer.extras import install_command


def console(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to bind; any other than loopback requires a token.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 chooses a free one.")] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="File with the token that the console asks for.")
    ] = None,
    reviewers_file: Annotated[
        str | None,
        typer.Option(
            "--reviewers-file", metavar="FILE", help="File with the reviewers' names and tokens; turns reviews on."
        ),
    ] = None,
    operators_file: Annotated[
        str | None,
        typer.Option(
            "--operators-file", metavar="FILE", help="File with those who may requeue dead letters: names and tokens."
        ),
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
) -> None:
    """Serve the web console: monitor, try applications, review MAYBE decisions, requeue dead letters.

    It shows throughput, lag, latency, results, the history of an application, deployments, bundles, the challenger,
    dead letters and the interface. It reads the topics without joining the consumer group, and needs no Prometheus. It
    writes only applications that you try, reviews by reviewers, and dead letters that operators requeue. Ctrl-C stops
    it.

    Needs the package's extra "console".

    Examples:
    ```
    scorer console
    scorer console --host 0.0.0.0 --token-file /run/secrets/console-token
    scorer console --reviewers-file /run/secrets/reviewers --operators-file /run/secrets/operators
    ```
    """
    from scorer.logs import log_to_stderr
    from scorer.monitor.console import console_metrics
    from scorer.operate.latest import LatestFigures
    from scorer.operate.review_queue import ReviewQueue

    given = {"console_token_file": token_file, "console_reviewers_file": reviewers_file}
    given |= {"console_operators_file": operators_file}
    settings = settings_of(
        config, bootstrap_servers, assignments, console_host=host, console_port=port, **given
    ).settings
    try:
        from scorer.console.serve import serve
    except ModuleNotFoundError as error:
        raise MisuseError(f"the console requires the package {error.name}: {install_command('console')}") from None
    log_to_stderr(settings.log_format, settings.log_level)
    queue = None if settings.console_reviewers_file is None else ReviewQueue()
    latest = LatestFigures()
    metrics = console_metrics(latest, settings.applications_topic, queue)
    serve(settings, typer.echo, queue, metrics, latest)
