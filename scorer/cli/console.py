"""`scorer console`: the web console, for monitoring and for trying applications."""

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
    config: ConfigOption = None,
    bootstrap_servers: ServersOption = None,
    assignments: SetOption = None,
) -> None:
    """Serve the web console, for monitoring and for trying applications.

    It shows throughput, lag, latency, results, deployments, dead letters and the interface. It reads the topics without
    joining the consumer group, needs no Prometheus, and is read-only, apart from applications that you try. Ctrl-C
    stops it.

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
        raise MisuseError(f"the console requires the package {error.name}: {install_command('console')}") from None
    log_to_stderr(settings.log_format, settings.log_level)
    serve(settings, typer.echo)
