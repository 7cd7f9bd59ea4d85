"""`scorer console`: the page to see what is going on, and to try an application."""

from typing import Annotated

import typer

from scorer.cli.options import ConfigOption, ServersOption, SetOption, settings_of
from scorer.errors import MisuseError


def console(
    host: Annotated[str | None, typer.Option("--host", help="Address to bind; all but loopback need a token.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Its port; 0 takes a free one.")] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="Holds the token that opens the console.")
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
) -> None:
    """Serve a page that shows what is going on, and publishes applications to try.

    It shows rate, lag, latency and decisions by kind, the deployments, the dead letters and how to publish. It reads
    the topics beside the workers, needs no Prometheus, and changes nothing; only a try is published. Ctrl-C ends it.

    Needs the package's extra "console".

    Examples:
    ```
    scorer console
    scorer console --host 0.0.0.0 --token-file /run/secrets/console-token
    ```
    """
    from scorer.logs import log_to_stderr

    settings = settings_of(
        config, bootstrap_servers, assignments, console_host=host, console_port=port, console_token_file=token_file
    ).settings
    try:
        from scorer.console.serve import serve
    except ModuleNotFoundError as error:
        raise MisuseError(
            f"this needs {error.name}, which scoring does not: pip install 'streaming-credit-scorer[console]'"
        ) from None
    log_to_stderr(settings.log_format, settings.log_level)
    serve(settings, typer.echo)
