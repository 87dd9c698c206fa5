"""``segue check-connections`` and ``send-test``: asked for here, carried out by an Airflow task.

Only tasks see connections and may send, so both file a request and wait for segue_release.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.airflow_here import is_paused, start_release_for
from segue.cli.arguments import Home, OutputFormat, Workflow
from segue.cli.output import Format, count, note, plain, print_listing, working
from segue.settings import dag_id_of

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.durations import Duration
    from segue.ledger import Ledger
    from segue.ledger.people.release_requests import Request
    from segue.ledger.people.tester_requests import Wanted
    from segue.workflows.resolved import ResolvedWorkflow

_LOOK_EVERY = 0.5  # seconds
_FAILED = 1
_CHECK_COLUMNS = ("connection", "channel", "result", "detail", "used_by")
_IN_A_TABLE = ("connection", "channel", "result", "used_by", "detail")
_TEST_COLUMNS = ("request", "workflow", "action", "contact", "to", "result", "outcome")

NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="File the request and end; segue requests shows the outcome."),
]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long to wait: 90s, 10m.")
]


def check_connections(
    workflows: Annotated[
        list[str] | None, typer.Argument(metavar="[WORKFLOW]...", help="Workflows; all by default.")
    ] = None,
    no_wait: NoWait = False,
    timeout: Timeout = "10m",
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Try every connection that workflows use, sending nothing; segue_release does it.

    Exit code 1 when one of them does not work, 2 when nobody tried them in time.
    """
    from segue.cli.workspace import Workspace, person, this_second, writing_ledger

    workspace, longest = Workspace.open(home), _duration(timeout)
    for name in workflows or []:
        workspace.catalog.location("workflows", name)
    with writing_ledger(workspace.settings) as ledger:
        number = ledger.people.file_check(
            workflows or [], person(), this_second(), workspace.settings.project
        )
        request = None if no_wait else _wait(ledger, number, longest)
    if request is None:
        _print_filed(number, output)
        start_release_for(number, person())
        return
    columns = _IN_A_TABLE if output is Format.TABLE else _CHECK_COLUMNS
    print_listing(columns, ([row[name] for name in columns] for row in request.found), output)
    note(f"{count(len(request.found), 'connection')}: {plain(request.outcome)}")
    if request.result == "failed":
        raise typer.Exit(_FAILED)


def send_test(
    workflow: Workflow,
    contact: Annotated[
        str, typer.Option("--contact", metavar="ID", help="Whose details the message is made of.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="ADDRESS",
            help="The tester: a mail address; in Slack a channel or a user's id.",
        ),
    ],
    action: Annotated[
        str | None,
        typer.Option("--action", metavar="ID", help="The action, where there are several."),
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            metavar="KEY",
            help="Whose details these are; the newest complete one by default.",
        ),
    ] = None,
    change: Annotated[
        str | None,
        typer.Option(
            "--change", metavar="KIND", help="Kind of change; the workflow's first by default."
        ),
    ] = None,
    no_wait: NoWait = False,
    timeout: Timeout = "10m",
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Send one rendered message to a tester, never to the contact; segue_release does it.

    It is no delivery: nothing is recorded of it but the request. Exit code 1 when it was not sent.
    """
    from segue.cli.workspace import Workspace, person, this_second, writing_ledger

    workspace, longest = Workspace.open(home), _duration(timeout)
    resolved = workspace.catalog.resolve(workflow)
    wish = _wanted(workspace, resolved, action, contact, to, change, snapshot)
    with writing_ledger(workspace.settings) as ledger:
        _rehearse(resolved, wish, ledger)
        number = ledger.people.file_test(wish, person(), this_second(), workspace.settings.project)
        request = None if no_wait else _wait(ledger, number, longest)
    if request is None:
        _print_filed(number, output)
        start_release_for(number, person())
        return
    if output is Format.TABLE:
        print(plain(request.outcome))
    else:
        selection = request.selection
        row = [
            request.id,
            selection.workflow,
            selection.action,
            selection.contact,
            to,
            request.result,
            request.outcome,
        ]
        print_listing(_TEST_COLUMNS, [row], output)
    if request.result != "sent":
        raise typer.Exit(_FAILED)


def _wanted(
    workspace: Workspace,
    resolved: ResolvedWorkflow,
    action: str | None,
    contact: str,
    to: str,
    change: str | None,
    snapshot: str | None,
) -> Wanted:
    """Return what is to be sent; raise SettingsError for what the definitions do not allow."""
    from segue.directory.snapshots import find_snapshot
    from segue.ledger.people.tester_requests import Wanted
    from segue.upkeep.tester_messages import find_action, require_address, require_kind

    target = find_action(resolved, action)
    require_address(resolved.channels[target.id], to)
    if snapshot is not None:
        snapshot = find_snapshot(resolved.directory, snapshot, now=workspace.now).key
    kind = require_kind(resolved, change)
    return Wanted(resolved.name, target.id, contact, to, kind, snapshot)


def _rehearse(resolved: ResolvedWorkflow, wanted: Wanted, ledger: Ledger) -> None:
    """Raise what would keep the message from being sent, where it can be seen from here.

    Details that are looked up live, and snapshots that this machine does not see, are the task's
    to look at.
    """
    from segue.errors import SnapshotMissing
    from segue.upkeep.tester_messages import prepare, require_listed_nowhere

    require_listed_nowhere(ledger, wanted)
    if resolved.live is not None:
        return
    try:
        with working("Looking at the message"):
            prepare(resolved, wanted, ledger, "0" * 64)
    except (SnapshotMissing, OSError) as error:
        note(f"not looked at here: {plain(str(error))}")


def _duration(text: str) -> Duration:
    from segue.durations import parse_duration
    from segue.errors import SettingsError

    try:
        return parse_duration(text)
    except ValueError as error:
        raise SettingsError(f"--timeout: {error}") from None


def _wait(ledger: Ledger, number: int, longest: Duration) -> Request:
    """Return a request once it is done; raise SegueError when that takes too long."""
    from segue.cli.workspace import person
    from segue.errors import SegueError

    note(_filed(number))
    if not start_release_for(number, person()):
        raise SegueError(
            f"nobody carries request {number} out at present; it stays: segue requests"
        )
    until = time.monotonic() + longest.approximate().total_seconds()
    with working("Waiting for segue_release"):
        while True:
            request = ledger.people.find_request(number)
            if request is not None and request.done_at is not None:
                return request
            seconds = until - time.monotonic()
            if seconds <= 0:
                break
            time.sleep(min(_LOOK_EVERY, seconds))
    project = request.asked.get("project", "") if request else ""
    release = dag_id_of("release", project)
    state = "was begun and has not ended" if request and request.begun else "was not carried out"
    raise SegueError(
        f"request {number} {state} within {longest}: {_of_release(release)}. The request stays: "
        "segue requests shows what comes of it"
    )


def _filed(number: int) -> str:
    return f"request {number} is filed; segue_release carries it out within five minutes"


def _print_filed(number: int, output: Format) -> None:
    if output is Format.TABLE:
        print(_filed(number))
    else:
        print_listing(("request",), [[number]], output)


def _of_release(release: str) -> str:
    """Return what can be found out here about the DAG that has to run, and what to do."""
    pause = is_paused(release)
    if pause is None:
        return (
            f"the DAG {release} has to run for it, and whether it is paused cannot be found out "
            f"here; where Airflow runs: airflow dags unpause {release}"
        )
    if pause:
        return f"the DAG {release} is paused; run: airflow dags unpause {release}"
    return (
        f"the DAG {release} is not paused, so see whether the scheduler runs, and the log of its "
        f"task try_out; to let it run now: airflow dags trigger {release}"
    )
