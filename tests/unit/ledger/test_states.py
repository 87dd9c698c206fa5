"""Every way of a delivery is a step of the table: in the code, in the docs, when it is walked."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from segue import ledger as package
from segue.ledger.base import move_deliveries
from segue.ledger.schema import deliveries
from segue.ledger.states import State, Step
from tests.states import documented, steps
from tests.unit.builders import NOW, added, detected, record, run, stretch

LEDGER = Path(package.__file__).parent
# what the door names itself, as one of the outcomes of the table
NAMED_BY_THE_DOOR = "bindparam('new_state', type_=String())"


def written_states() -> Iterator[tuple[str, ast.expr]]:
    """Yield (file:line, value) of whatever is written into the column ``state``."""
    for path in sorted(LEDGER.rglob("*.py")):
        if "versions" in path.relative_to(LEDGER).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                values = [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "state"]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "values":
                values = [each.value for each in node.keywords if each.arg == "state"]
            else:
                continue
            for value in values:
                yield f"{path.relative_to(LEDGER)}:{node.lineno}", value


def test_whatever_writes_a_state_names_its_step():
    places = list(written_states())
    assert len(places) >= 5
    for place, value in places:
        text = ast.unparse(value)
        assert "State." not in text, place
        leaves = [node for node in ast.walk(value) if isinstance(node, ast.Attribute)]
        by_step = any(leaf.attr == "to" for leaf in leaves)
        assert by_step or text == NAMED_BY_THE_DOOR, f"{place}: {text}"


def test_the_docs_have_every_step_and_no_other():
    """Steps that change nothing but who has the delivery, or why, are none for readers."""
    assert _moves(steps()) == _moves(documented())


def _moves(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(origin, to) for origin, to in pairs if origin != to}


def test_nothing_leaves_what_was_delivered():
    assert not [step for step in Step if State.DELIVERED in step.origins]


def test_only_the_guard_and_conditions_judged_again_release():
    assert {step for step in Step if step.to is State.RELEASED} == {
        *(Step.RELEASE, Step.GIVE_BACK, Step.RELEASE_MET),
    }


@pytest.mark.parametrize("step", [step for step in Step if step.origins], ids=lambda s: s.name)
def test_a_step_is_taken_from_its_origins_alone(ledger, step):
    """Whatever a caller's conditions say: the write itself has the origins in it."""
    names = [str(state) for state in State]
    ids = record(ledger, run(), detected(stretch(21, 22), added(*names)))
    with ledger.engine.begin() as connection:
        for name in names:
            mine = update(deliveries).where(deliveries.c.contact_id == name)
            connection.execute(mine.values(state=name, lease_until=NOW + timedelta(hours=1)))
        count = move_deliveries(connection, step, [deliveries.c.span.in_(ids)], {"reason": ""})
        query = select(deliveries.c.contact_id, deliveries.c.state)
        after = dict(map(tuple, connection.execute(query)))
    assert count == len(step.origins)
    assert after == {name: step.to if name in step.origins else name for name in names}
