"""Trying the connections that workflows use, without sending anything.

Each connection is tried once for all actions that share it, one after the other, in a task: only
Airflow's tasks see connections.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby

from segue.contracts.channel import Channel, Finding, Tried
from segue.contracts.live_source import LiveSource
from segue.errors import DefinitionError, SegueError, log_defect
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Request
from segue.workflows.resolved import ResolvedWorkflow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one connection; ``used_by`` are actions, as ``workflow.action``.

    A live source stands for a channel, and the task that looks contacts up in it for an action.
    """

    connection: str
    channel: str
    result: str  # one of Tried
    detail: str
    used_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Use:
    connection: str
    channel: Channel | LiveSource
    action: str

    @property
    def place(self) -> tuple[str, str]:
        return self.connection, self.channel.name


def carry_out_check(
    request: Request,
    names: Iterable[str],
    resolve: Callable[[str], ResolvedWorkflow],
    ledger: Ledger,
    *,
    owner: str,
) -> str:
    """Try the connections of the workflows ``names``, write down and return what came of it."""
    resolved, checks = [], []
    for name in names:
        try:
            resolved.append(resolve(name))
        except DefinitionError as error:
            wrong = f"the definition is wrong, see segue validate: {error.problems[0].message}"
            checks.append(Checked("", "", Tried.FAILED, wrong, [name]))
    checks += check_connections(resolved)
    counts = Counter(each.result for each in checks)
    words = ", ".join(f"{counts[one]} {one}" for one in Tried if counts[one]) or "no connection"
    result = Tried.FAILED if counts[Tried.FAILED] else Tried.OK
    rows = [asdict(each) for each in checks]
    ledger.people.finish_trial(
        request.id, result, words, datetime.now(UTC), owner=owner, found=rows
    )
    return words


def check_connections(workflows: Iterable[ResolvedWorkflow]) -> list[Checked]:
    """Try every connection of these workflows, by its id and then by channel."""
    uses = sorted(
        (use for resolved in workflows for use in _uses(resolved)),
        key=lambda use: (use.place, use.action),
    )
    return [
        _checked(place, list(group)) for place, group in groupby(uses, key=lambda use: use.place)
    ]


def _uses(resolved: ResolvedWorkflow) -> Iterator[_Use]:
    for action, channel in resolved.channels.items():
        yield _Use(channel.connection, channel, f"{resolved.name}.{action}")
    if resolved.live is not None:
        name = f"{resolved.name}.load_contact_details"
        yield _Use(resolved.live.connection, resolved.live, name)


def _checked(place: tuple[str, str], uses: Sequence[_Use]) -> Checked:
    needs = frozenset().union(*(use.channel.needs for use in uses))
    verdict = _try(uses[0].channel, needs)
    return Checked(*place, verdict.tried, verdict.detail, [use.action for use in uses])


def _try(channel: Channel | LiveSource, needs: frozenset[str]) -> Finding:
    """Return what was found; what goes wrong is a finding, so that the others are tried, too."""
    try:
        with channel.connect() as sender:
            finding, caveat = sender.check(needs), sender.caveat
            return Finding(Tried.LIMITED, f"{finding.detail}; {caveat}") if caveat else finding
    except SegueError as error:
        return Finding(Tried.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - a channel's defect must not hide the other findings
        kind = log_defect(log, error, "in the channel")
        return Finding(Tried.FAILED, f"a defect in the channel: {kind}")
