"""What readers see of a delivery: all but what the vendor answered.

An answer may be the contact's alone: whoever opens the link to somebody's survey answers as that
person, and an ``http_request`` keeps up to a thousand characters of whatever came back. So the link
and the results need the right to contacts, as messages do; a ticket's number does not. Nor is a
message's digest for readers: it holds an address or a name that can be tried until it fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from segue.errors import DefinitionError
from segue.ledger.facts import DeliveryInFull, ListedDelivery
from segue.ledger.queries.pages import ChangeRow
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Action

Row = TypeVar("Row", bound=ListedDelivery)


def shown(row: Row, *, sees: bool) -> Row:
    """Return a delivery as it is shown to whoever ``sees`` contacts, or does not."""
    if sees:
        return row
    if isinstance(row, DeliveryInFull):
        row = replace(row, results={})
    return replace(row, url=None, digest=None)


def shown_change(row: ChangeRow, order: Mapping[str, int], *, sees: bool) -> ChangeRow:
    """Return a contact of a run likewise, its deliveries in the order of the workflow."""
    items = sorted(row.deliveries, key=lambda item: place_of(item.action, order))
    return replace(row, deliveries=[shown(item, sees=sees) for item in items])


def actions_of(workflow: str, catalog: Catalog) -> dict[str, Action]:
    """Return the actions of a workflow by id, as they are written; none where it is not defined."""
    try:
        return {action.id: action for action in catalog.workflow(workflow).actions}
    except DefinitionError:
        return {}


def changes_of(workflow: str, catalog: Catalog) -> frozenset[str]:
    """Return the kinds of change that a workflow acts on; none where it is not defined."""
    try:
        return frozenset(catalog.workflow(workflow).changes)
    except DefinitionError:
        return frozenset()


def order_of(workflow: str, catalog: Catalog) -> dict[str, int]:
    """Return the place of each action in its workflow."""
    return {name: place for place, name in enumerate(actions_of(workflow, catalog))}


def place_of(action: str, order: Mapping[str, int]) -> tuple[int, str]:
    """Return what to sort actions by; those that are not defined any more come last."""
    return order.get(action, len(order)), action


def in_order(actions: Iterable[str], order: Mapping[str, int]) -> list[str]:
    """Return actions in the order of the workflow."""
    return sorted(actions, key=lambda action: place_of(action, order))
