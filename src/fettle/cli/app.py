"""The command tree."""

from importlib.metadata import entry_points
from typing import Annotated

import typer

from fettle.cli import artifacts, identities, judging, serving, setup

EPILOG = (
    "stdout is data, stderr is narration; --json where a program reads it. Exit codes: 0 done, 1 a run failed, "
    "2 spec or usage, 3 data, 4 artifact, 5 training, 6 optimization, 7 gates, 8 storage, 9 serving, 10 hardware."
)
app = typer.Typer(
    name="fettle",
    help="Labelled images in, a small, fast and proven vision model on NVIDIA Triton out.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

COMMANDS = (
    setup.init, setup.castings, setup.convert, setup.spec, setup.doctor,
    artifacts.ingest, artifacts.tune, artifacts.train, artifacts.optimize,
    judging.validate, judging.benchmark, judging.vote, judging.select, judging.report,
    serving.approve, serving.promote, serving.rollback, serving.serve, serving.keep, serving.predict,
    identities.enroll, identities.identify,
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        from fettle import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options of `fettle` itself."""
    del version


# `run` and `compile` belong to the orchestrator's package, which the library does not import. It also knows how to
# promote what ran elsewhere: its command of a name goes before ours.
own = {command.__name__: command for command in COMMANDS}
plugins = {plugin.name: plugin for plugin in entry_points(group="fettle.commands")}
for name in sorted(plugins.keys() - own.keys(), reverse=True):
    app.command(name, rich_help_panel=None)(plugins[name].load())
for name, command in own.items():
    app.command(name)(plugins[name].load() if name in plugins else command)
