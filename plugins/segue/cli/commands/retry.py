"""``segue retry``, ``settle``, ``drop``, ``requests``: people ask for it, Airflow's tasks do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.airflow_here import start_release_for
from segue.cli.arguments import OutputFormat, Workflow, Yes
from segue.cli.output import Format, confirm, count, note, plain, print_listing

if TYPE_CHECKING:
    from segue.ledger import Ledger
    from segue.ledger.people.release_requests import Request, Selection, Settlement

_COLUMNS = (
    *("id", "kind", "settlement", "workflow", "action", "contact", "error", "keys"),
    *("requested_by", "requested_at", "done_at", "outcome"),
    *("asked", "result", "found"),
)
_IN_A_TABLE = ("id", "requested_at", "request", "outcome")

ActionOption = Annotated[
    str | None, typer.Option("--action", metavar="ACTION", help="Of one action.")
]
ContactOption = Annotated[
    str | None, typer.Option("--contact", metavar="ID", help="Of one contact.")
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="This delivery; may be repeated."),
]


def retry(
    workflow: Workflow,
    action: ActionOption = None,
    contact: ContactOption = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help="Whose reason contains this text.")
    ] = None,
    key: KeyOption = None,
    yes: Yes = False,
) -> None:
    """Ask that failed deliveries be sent again; segue_release does it within five minutes."""
    from segue.cli.workspace import require_workflow, writing_ledger
    from segue.ledger.people.release_requests import Selection

    selection = Selection(workflow, action, contact, error, tuple(key or ()))
    with writing_ledger() as ledger:
        require_workflow(workflow, ledger)
        _file(ledger, selection, None, yes=yes)
        stop = ledger.people.stopped(workflow)
    if stop is not None:
        note(f"it waits until segue go: {plain(str(stop))}")


def settle(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Keys of uncertain deliveries.")
    ] = None,
    delivered: Annotated[bool, typer.Option("--delivered", help="They have arrived.")] = False,
    not_delivered: Annotated[
        bool, typer.Option("--not-delivered", help="They have not: send them again.")
    ] = False,
    workflow: Annotated[
        str | None,
        typer.Option("--workflow", metavar="WORKFLOW", help="All uncertain ones of a workflow."),
    ] = None,
    action: ActionOption = None,
    yes: Yes = False,
) -> None:
    """Say what became of uncertain deliveries; segue_release records it within five minutes."""
    from segue.cli.workspace import require_workflow, writing_ledger
    from segue.errors import SettingsError
    from segue.ledger.people.release_requests import Selection, Settlement

    if delivered == not_delivered:
        raise SettingsError("expected one of: --delivered, --not-delivered")
    if bool(keys) == (workflow is not None):
        raise SettingsError("expected one of: keys of deliveries, --workflow")
    if keys and action is not None:
        raise SettingsError("--action goes with --workflow; a key names one delivery")
    settlement = Settlement.DELIVERED if delivered else Settlement.NOT_DELIVERED
    with writing_ledger() as ledger:
        if workflow is not None:
            require_workflow(workflow, ledger)
        selection = Selection(workflow, action, keys=tuple(keys or ()))
        _file(ledger, selection, settlement, yes=yes)


def drop(
    workflow: Workflow,
    action: ActionOption = None,
    contact: ContactOption = None,
    key: KeyOption = None,
    yes: Yes = False,
) -> None:
    """Give up what is held, or waits; clearing its runs from detect_changes takes that back."""
    from segue.cli.workspace import person, require_workflow, this_second, writing_ledger
    from segue.ledger.people.release_requests import RequestKind, Selection
    from segue.upkeep import interventions as asking

    selection = Selection(workflow, action, contact, None, tuple(key or ()))
    with writing_ledger() as ledger:
        require_workflow(workflow, ledger)
        sight = asking.look(ledger, RequestKind.DROP, selection)
        deliveries = count(sight.count, "held or waiting delivery", "held or waiting deliveries")
        note(f"{deliveries} of {plain(str(selection))}")
        confirm("Give up?", yes=yes)
        request = asking.drop(ledger, selection, person(), this_second(), sight)
    print(f"request {request} is filed; segue_release carries it out within five minutes")
    start_release_for(request, person())


def requests(output: OutputFormat = Format.TABLE) -> None:
    """List what people asked for or did, by whom, and what came of it."""
    from segue.cli.workspace import reading_ledger

    with reading_ledger() as ledger:
        listing = [] if ledger is None else ledger.people.list_requests()
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, listing), output)
    else:
        print_listing(_COLUMNS, map(_row, listing), output)
    note(
        f"{count(len(listing), 'request')}, {sum(not request.done_at for request in listing)} open"
    )


def _file(
    ledger: Ledger,
    selection: Selection,
    settlement: Settlement | None,
    *,
    yes: bool,
) -> None:
    """Show how many deliveries are meant, ask, and file; raise SettingsError for none."""
    from segue.cli.workspace import person, this_second
    from segue.ledger.people.release_requests import RequestKind
    from segue.upkeep import interventions as asking

    state = "failed" if settlement is None else "uncertain"
    kind = RequestKind.RETRY if settlement is None else RequestKind.SETTLE
    sight = asking.look(ledger, kind, selection)
    amount = count(sight.count, f"{state} delivery", f"{state} deliveries")
    note(f"{amount} of {plain(str(selection))}")
    questions = {"delivered": "Settle as delivered?", "not_delivered": "Send again?"}
    confirm("Send again?" if settlement is None else questions[settlement], yes=yes)
    if settlement is None:
        request = asking.retry(ledger, selection, person(), this_second(), sight)
    else:
        request = asking.settle(ledger, selection, settlement, person(), this_second(), sight)
    print(f"request {request} is filed; segue_release carries it out within five minutes")
    start_release_for(request, person())


def _row(request: Request) -> list[Any]:
    selection = request.selection
    return [
        *(request.id, request.kind, request.settlement),
        *(
            selection.workflow,
            selection.action,
            selection.contact,
            selection.error,
            list(selection.keys),
        ),
        *(request.requested_by, request.requested_at, request.done_at, request.outcome),
        *(request.asked, request.result, request.found),
    ]


def _table_row(request: Request) -> list[Any]:
    state = request.outcome if request.done_at else "under way" if request.begun else "open"
    return [request.id, request.requested_at, _words(request), state]


def _words(request: Request) -> str:
    if request.kind == "check":
        return f"check connections: {', '.join(request.asked['workflows']) or 'all workflows'}"
    if request.kind == "test":
        return f"send test: {request.selection}, to {request.asked['to']}"
    verb = f"{request.kind} as {request.settlement}" if request.settlement else request.kind
    about = str(request.selection)
    return f"{verb}: {about}" if about else verb
