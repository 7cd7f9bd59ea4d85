"""The `scorer` application with all of its commands."""

from typing import Annotated, Final

import typer

from schemas.command_line import PlainlyWorded
from scorer.cli import bundle, contract, dlq, offsets, policy, replay, topics, trust
from scorer.cli.approve import approve
from scorer.cli.build import build
from scorer.cli.challenger import challenger
from scorer.cli.config import config, doctor
from scorer.cli.console import console
from scorer.cli.containerize import containerize
from scorer.cli.deploy import deploy, retire, rollback
from scorer.cli.diff import diff
from scorer.cli.explain import explain
from scorer.cli.history import history
from scorer.cli.import_bentoml import import_bentoml
from scorer.cli.lint import lint
from scorer.cli.repolicy import repolicy
from scorer.cli.score import score
from scorer.cli.sign import sign
from scorer.cli.simulate import simulate
from scorer.cli.status import status
from scorer.cli.train import train
from scorer.cli.up import broker, up
from scorer.cli.worker import worker

_START: Final = "Start"
_OPERATE: Final = "Operate"
_MODELS: Final = "Models"
_DEPLOYMENTS: Final = "Deployments"
_REPAIR: Final = "Repair"

app = typer.Typer(
    name="scorer",
    cls=PlainlyWorded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Credit scoring on Kafka: consume applications, and publish exactly one result for each.

    Start with **scorer up**: a local broker, workers, generated applications and a live view.
    With your own Kafka: **scorer doctor**, **scorer topics ensure**, **scorer worker**.

    Settings come from scorer.toml, SCORER_* environment variables and flags; **scorer config** shows them.
    Exit codes: 0 success, 1 failure, 2 usage error.
    """,
)


def _print_version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        typer.echo(f"scorer {version('streaming-credit-scorer')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Takes the options that come before a command."""
    del version


app.command(rich_help_panel=_START)(up)
app.command(rich_help_panel=_START)(score)
app.command(rich_help_panel=_START)(config)
app.command(rich_help_panel=_START)(doctor)
app.command(rich_help_panel=_START)(broker)
app.command(rich_help_panel=_OPERATE)(worker)
app.command(rich_help_panel=_OPERATE)(status)
app.command(rich_help_panel=_OPERATE)(explain)
app.command(rich_help_panel=_OPERATE)(console)
app.add_typer(topics.app, name="topics", rich_help_panel=_OPERATE)
app.add_typer(offsets.app, name="offsets", rich_help_panel=_OPERATE)
app.add_typer(contract.app, name="contract", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MODELS)(train)
bundle.app.command()(build)
bundle.app.command()(sign)
bundle.app.command()(repolicy)
bundle.app.command()(lint)
bundle.app.command()(diff)
bundle.app.command()(containerize)
bundle.app.command("import-bentoml")(import_bentoml)
policy.app.command()(simulate)
app.add_typer(bundle.app, name="bundle", rich_help_panel=_MODELS)
app.add_typer(policy.app, name="policy", rich_help_panel=_MODELS)
app.add_typer(trust.app, name="trust", rich_help_panel=_MODELS)
app.command(rich_help_panel=_DEPLOYMENTS)(deploy)
app.command(rich_help_panel=_DEPLOYMENTS)(rollback)
app.command(rich_help_panel=_DEPLOYMENTS)(retire)
app.command(rich_help_panel=_DEPLOYMENTS)(approve)
app.command(rich_help_panel=_DEPLOYMENTS)(challenger)
app.command(rich_help_panel=_DEPLOYMENTS)(history)
app.add_typer(replay.app, name="replay", rich_help_panel=_REPAIR)
app.add_typer(dlq.app, name="dlq", rich_help_panel=_REPAIR)
