"""The entry point: which commands there are, and how errors and signals end them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from segue.cli.arguments import Command, Group, ListByDefault
from segue.cli.commands.doctor import doctor
from segue.cli.commands.explain import explain
from segue.cli.commands.export import export
from segue.cli.commands.forget import forget
from segue.cli.commands.init import init
from segue.cli.commands.ledger import deliveries, delivery, gaps, upgrade
from segue.cli.commands.plan import plan
from segue.cli.commands.projects import move
from segue.cli.commands.projects import projects as list_projects
from segue.cli.commands.prune import prune
from segue.cli.commands.retry import drop, requests, retry, settle
from segue.cli.commands.sandbox import sandbox
from segue.cli.commands.schema import schema
from segue.cli.commands.segments import changes, members
from segue.cli.commands.simulate import simulate
from segue.cli.commands.snapshot_check import check as check_snapshot
from segue.cli.commands.snapshots import quarantine, release
from segue.cli.commands.snapshots import snapshots as list_snapshots
from segue.cli.commands.stop import go, stop
from segue.cli.commands.suppress import suppress
from segue.cli.commands.take import take
from segue.cli.commands.test import run_examples
from segue.cli.commands.thinning import thin
from segue.cli.commands.trials import check_connections, send_test
from segue.cli.commands.try_out import try_out
from segue.cli.commands.validate import validate
from segue.cli.output import print_error
from segue.errors import SegueError

FAILED = 2  # wrong input, a broken snapshot, an unusable ledger: something for a person to fix
_PIPE_CLOSED = 141  # what a shell shows for a program that a closed pipe ended

_DEFINITIONS = "Definitions"
_DATA = "Directories and segments"
_WORKFLOWS = "Workflows and deliveries"
_HAND = "Stopping, mending, forgetting"
_SETUP = "Setting up"

app = typer.Typer(
    name="segue",
    cls=Group,
    help="Watch contact segments and act on their changes, each once, from Apache Airflow.",
    epilog="Settings come from SEGUE_HOME, SEGUE_LEDGER and others: see docs/operations.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
snapshots = typer.Typer(
    cls=ListByDefault,
    no_args_is_help=True,
    help="List a directory's snapshots, check one, let no run use one, or delete old ones.",
    epilog="Example: [bold]segue snapshots customers[/bold] is short for snapshots list",
)
projects = typer.Typer(
    cls=ListByDefault,
    no_args_is_help=True,
    help="List whose each workflow is, where one Airflow has several projects; move one.",
    epilog="Example: [bold]segue projects list[/bold]",
)
db = typer.Typer(cls=Group, no_args_is_help=True, help="Look after the ledger's database.")


def _add(
    group: typer.Typer,
    function: Callable[..., Any],
    example: str,
    panel: str | None = None,
    name: str | None = None,
) -> None:
    epilog = f"Example: [bold]{example}[/bold]"
    group.command(name, cls=Command, epilog=epilog, rich_help_panel=panel)(function)


_add(app, validate, "segue validate --home include", _DEFINITIONS)
_add(app, run_examples, "segue test at_risk escalate_at_risk", _DEFINITIONS, name="test")
_add(app, schema, "segue schema --folder .schemas", _DEFINITIONS)
_add(snapshots, list_snapshots, "segue snapshots customers", name="list")
_add(snapshots, check_snapshot, "segue snapshots check customers 2026-11-22", name="check")
_add(
    snapshots,
    quarantine,
    "segue snapshots quarantine 2026-11-22 --directory customers --reason 'half is missing'",
)
_add(snapshots, release, "segue snapshots release 2026-11-22 --directory customers")
_add(snapshots, thin, "segue snapshots prune customers --dry-run", name="prune")
app.add_typer(snapshots, name="snapshots", rich_help_panel=_DATA)
_add(app, take, "segue take customers --as-of 2026-11-22 --dry-run", _DATA)
_add(app, members, "segue members at_risk --at 2026-11-22 --format csv", _DATA)
_add(app, changes, "segue changes at_risk --from 2026-11-21 --to 2026-11-22", _DATA)
_add(app, explain, "segue explain at_risk CID_0042 --from 2026-11-21 --at 2026-11-22", _DATA)
_add(app, plan, "segue plan escalate_at_risk --at 2026-11-22", _WORKFLOWS)
_add(
    app,
    simulate,
    "segue simulate escalate_at_risk --from 2026-11-01 --plot changes.svg",
    _WORKFLOWS,
)
_add(app, try_out, "segue try escalate_at_risk --at 2026-11-22", _WORKFLOWS, name="try")
_add(app, deliveries, "segue deliveries --workflow escalate_at_risk --outcome failed", _WORKFLOWS)
_add(app, delivery, "segue delivery 8d0c… --format json", _WORKFLOWS)
_add(app, export, "segue export --to /var/lib/segue-log", _WORKFLOWS)
_add(app, gaps, "segue gaps escalate_at_risk", _WORKFLOWS)
_add(app, retry, "segue retry escalate_at_risk --error invalid_auth", _HAND)
_add(app, settle, "segue settle --workflow escalate_at_risk --delivered", _HAND)
_add(app, drop, "segue drop escalate_at_risk --action alert", _HAND)
_add(app, requests, "segue requests", _HAND)
_add(
    app,
    check_connections,
    "segue check-connections escalate_at_risk",
    _HAND,
    name="check-connections",
)
_add(
    app,
    send_test,
    "segue send-test welcome_high_value --contact CID_0042 --to me@example.com",
    _HAND,
    name="send-test",
)
_add(app, stop, "segue stop escalate_at_risk --reason 'wrong text'", _HAND)
_add(app, go, "segue go escalate_at_risk", _HAND)
_add(app, suppress, "segue suppress CID_0042 --reason 'asked on the phone'", _HAND)
_add(app, forget, "segue forget CID_0042", _HAND)
_add(app, prune, "segue prune --older-than 400d --dry-run", _HAND)
_add(projects, list_projects, "segue projects list", name="list")
_add(projects, move, "segue projects move welcome_gold --to growth")
app.add_typer(projects, name="projects", rich_help_panel=_HAND)
_add(app, init, "segue init my-project", _SETUP)
_add(app, doctor, "segue doctor", _SETUP)
_add(app, sandbox, "segue sandbox --folder /tmp/inbox", _SETUP)
_add(db, upgrade, "SEGUE_LEDGER=postgresql://… segue db upgrade")
app.add_typer(db, name="db", rich_help_panel=_SETUP)


def _show_version(wanted: bool) -> None:
    if wanted:
        from segue import __version__

        typer.echo(f"segue {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Watch contact segments and act on their changes, each once, from Apache Airflow."""


def main() -> None:
    """Run the command line; every error that Segue foresees is one message and exit code 2."""
    _prepare_streams()
    _end(_flushed(_run()))


def _run() -> int:
    try:
        app(prog_name="segue")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED
    except BrokenPipeError:
        return _PIPE_CLOSED
    except SegueError as error:
        print_error(str(error))
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print_error(f"{where}{error.strerror or error}")
        return FAILED
    except UnicodeEncodeError as error:
        print_error(f"{error.object!r} is not text: it has bytes or halves of characters in it")
        return FAILED
    return 0


def _prepare_streams() -> None:
    """Write UTF-8 into files and pipes; on a terminal, show what it cannot show as escapes.

    What the shell closed is written nowhere.
    """
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _nowhere() -> TextIOWrapper:
    return TextIOWrapper(Path(os.devnull).open("wb"), encoding="utf-8")


def _flushed(code: int) -> int:
    """Write out what is left; a reader that has gone, as ``head`` does, is no error to speak of."""
    try:
        if sys.stdout is not None:  # as it is where the shell closed it
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
        return _PIPE_CLOSED
    except OSError as error:
        print_error(f"the answer cannot be written: {error.strerror or error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
        return FAILED
    return code


def _end(code: int) -> NoReturn:
    """End with this code; where this is the process's own program, without Python's shutdown.

    Threads of Arrow that still hold a CSV file's stream then would abort the process, after a
    right answer and with a wrong code (apache/arrow#34314). Whatever is written is flushed before.
    """
    program = sys.modules["__main__"]
    if sys.stderr is not None:
        sys.stderr.flush()
    is_ours = Path(getattr(program, "__file__", None) or "").stem == app.info.name
    if is_ours or program is sys.modules[__name__]:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
