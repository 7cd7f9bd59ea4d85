"""The `scorer` application with all of its commands."""

import typer

from scorer.cli import bundle, contract, dlq, offsets, policy, replay, topics, trust
from scorer.cli.approve import approve
from scorer.cli.build import build
from scorer.cli.config import config, doctor
from scorer.cli.console import console
from scorer.cli.containerize import containerize
from scorer.cli.deploy import deploy, retire, rollback
from scorer.cli.diff import diff
from scorer.cli.history import history
from scorer.cli.import_bentoml import import_bentoml
from scorer.cli.lint import lint
from scorer.cli.repolicy import repolicy
from scorer.cli.score import score
from scorer.cli.sign import sign
from scorer.cli.simulate import simulate
from scorer.cli.train import train
from scorer.cli.up import broker, up
from scorer.cli.worker import worker

app = typer.Typer(
    name="scorer",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Credit scoring on Kafka: consume applications, and publish exactly one result for each.

    Start with **scorer up**: a local broker, workers, generated applications and a live view.
    With your own Kafka: **scorer doctor**, **scorer topics ensure**, **scorer worker**.

    Settings come from scorer.toml, SCORER_* environment variables and flags; **scorer config** shows them.
    Exit codes: 0 success, 1 failure, 2 usage error.
    """,
)
app.command()(up)
app.command()(worker)
app.add_typer(topics.app, name="topics")
app.add_typer(offsets.app, name="offsets")
app.command()(train)
bundle.app.command()(build)
bundle.app.command()(sign)
bundle.app.command()(repolicy)
bundle.app.command()(lint)
bundle.app.command()(diff)
bundle.app.command()(containerize)
bundle.app.command("import-bentoml")(import_bentoml)
app.add_typer(bundle.app, name="bundle")
app.add_typer(contract.app, name="contract")
policy.app.command()(simulate)
app.add_typer(policy.app, name="policy")
app.command()(deploy)
app.command()(rollback)
app.command()(retire)
app.command()(approve)
app.command()(history)
app.add_typer(trust.app, name="trust")
app.add_typer(replay.app, name="replay")
app.add_typer(dlq.app, name="dlq")
app.command()(score)
app.command()(console)
app.command()(config)
app.command()(doctor)
app.command()(broker)
