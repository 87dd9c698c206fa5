"""What the guard does: it releases, or asks; and what an answer may be taken for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from segue.errors import RunHalted
from segue.ledger.facts import Run
from segue.ledger.schema import deliveries
from segue.runs.areas import RunArea
from segue.runs.context import RunContext
from segue.runs.guard import obey, release_or_ask, time_out
from segue.runs.guard_question import Question
from segue.upkeep.forgetting import forget
from tests.unit.builders import set_secret
from tests.unit.runs.test_span_detection import Place


class Guarded:
    """The run of the 10th, of which any change is beyond the limits: c added, a removed."""

    def __init__(self, folder: Path) -> None:
        self.state = str(folder / "state")
        self.place = Place(folder)
        self.place.more = {"guard": {"at_most": 0}, "policies": {"max_age": None}}
        self.place.snapshot(8, "a", "b")
        self.place.snapshot(9, "b", "c")
        self.place.day(10)
        self.area = RunArea.of_run(self.state, "test", "greet", "day-10")

    @property
    def context(self) -> RunContext:
        place = self.place
        return RunContext(place.workflow, Run("greet", "day-10"), place.ledger, place.now)

    def ask(self, *, again: bool = False) -> Question:
        inquiry = release_or_ask(self.context, self.area, is_first_try=not again)
        assert isinstance(inquiry, Question)
        return inquiry

    def answer(self, choice: str, **parameters: object) -> None:
        obey(self.context, self.area, [choice], parameters, "ann")

    def detect_others(self) -> None:
        """The changes are detected anew: of those who are silver."""
        self.place.match = {"field": "tier", "equals": "silver"}
        self.place.day(10)

    @property
    def outcomes(self) -> set[str]:
        rows = self.place.ledger.queries.list_deliveries()
        return {f"{row.outcome} {row.reason}".strip() for row in rows}

    @property
    def decision(self):
        return self.context.record().decision


@pytest.fixture
def guarded(tmp_path) -> Guarded:
    return Guarded(tmp_path)


def test_within_the_limits_all_is_released_without_a_question(guarded):
    """Two changes, one action."""
    guarded.place.more["guard"] = {"at_most": 1}
    assert release_or_ask(guarded.context, guarded.area, is_first_try=True) == 2
    assert (guarded.outcomes, guarded.decision) == ({"released"}, None)


def test_beyond_them_nothing_is_released_before_an_answer(guarded):
    assert guarded.ask().subject == "greet: act on 1 added, 1 removed?"
    assert guarded.outcomes == {"planned"}


def test_a_run_that_is_not_recorded_is_not_guarded(guarded):
    """detect_changes failed, and somebody marked it as a success."""
    context = RunContext(
        guarded.place.workflow, Run("greet", "other"), guarded.place.ledger, guarded.place.now
    )
    with pytest.raises(RunHalted, match="has not recorded this run"):
        release_or_ask(context, guarded.area, is_first_try=True)


def test_an_approval_releases_and_names_who_gave_it(guarded):
    guarded.ask()
    guarded.answer("Approve")
    assert guarded.outcomes == {"released"}
    assert (guarded.decision.word, guarded.decision.by) == ("approved", "ann")


def test_a_rejection_sends_nothing_and_quarantines_nothing(guarded):
    guarded.ask()
    guarded.answer("Reject")
    assert guarded.outcomes == {"suppressed rejected"}
    assert guarded.place.ledger.people.quarantined("people") == {}


def test_a_rejection_can_quarantine_the_snapshot(guarded):
    guarded.ask()
    guarded.answer("Reject", quarantine=True)
    assert guarded.outcomes == {"suppressed rejected"}
    assert guarded.place.ledger.people.quarantined("people") == {"2026-11-09": "rejected in greet"}
    assert guarded.place.spans() == []


def test_no_answer_rejects(guarded):
    guarded.ask()
    time_out(guarded.context)
    assert guarded.outcomes == {"suppressed rejected"}
    assert (guarded.decision.word, guarded.decision.by) == ("timed_out", "")


@pytest.mark.parametrize(
    ("choice", "parameters", "message"),
    [
        ("Approve", {"quarantine": True}, "contradict"),
        ("Reject", {"quarantine": "yes"}, "quarantine: true or false"),
        ("Reject", {"quarantin": True}, "quarantine: true or false"),
    ],
)
def test_an_answer_that_makes_no_sense_decides_nothing(guarded, choice, parameters, message):
    """The API lets anything through."""
    guarded.ask()
    with pytest.raises(RunHalted, match=message):
        guarded.answer(choice, **parameters)
    assert (guarded.outcomes, guarded.decision) == ({"planned"}, None)


def test_an_approval_of_what_was_quarantined_meanwhile_releases_nothing(guarded):
    """Whoever answers was not told; the span is kept, because something of it was sent."""
    guarded.ask()
    one = update(deliveries).where(deliveries.c.contact_id == "c")
    with guarded.place.ledger.engine.begin() as connection:
        connection.execute(one.values(state="delivered", attempts=1))
    guarded.place.ledger.people.quarantine(
        "people", "2026-11-09", reason="", by="bob", now=guarded.place.now
    )
    with pytest.raises(RunHalted, match="2026-11-09 was quarantined after the question"):
        guarded.answer("Approve")
    assert guarded.outcomes == {"delivered", "suppressed rejected"}
    with pytest.raises(RunHalted, match="snapshot 2026-11-09 is quarantined"):
        guarded.ask(again=True)  # Airflow would show the old text


def test_an_approval_of_something_else_releases_nothing(guarded):
    """The changes were detected anew between the question and the answer."""
    guarded.ask()
    guarded.detect_others()
    with pytest.raises(RunHalted, match="the question was about others"):
        guarded.answer("Approve")
    assert "released" not in guarded.outcomes


def test_who_is_forgotten_while_the_guard_waits_stands_in_nobodys_way(guarded):
    """The answer is to a question about more people than are left; asked again, it still is."""
    set_secret(guarded.place.ledger, "a long secret text")
    guarded.ask()
    forget(guarded.place.ledger, guarded.state, "a", "ann", guarded.place.now)
    guarded.answer("Reject")
    guarded.ask(again=True)
    guarded.answer("Approve")
    assert guarded.outcomes == {"released", "suppressed forgotten"}
    files = Path(guarded.state).rglob("question*")
    assert b'"a"' not in b"".join(path.read_bytes() for path in files)


def test_a_cleared_guard_asks_again_about_the_same(guarded):
    """A rejection is asked about once more, and may be approved."""
    guarded.ask()
    guarded.answer("Reject")
    guarded.ask(again=True)
    assert guarded.decision is None
    guarded.answer("Approve")
    assert guarded.outcomes == {"released"}


def test_a_cleared_guard_fails_where_airflow_would_show_an_old_question(guarded):
    """It keeps the text of the first one: whoever approves would not know of what."""
    guarded.ask()
    guarded.detect_others()
    with pytest.raises(RunHalted, match=r'trigger greet --conf .*"deliver": true'):
        guarded.ask(again=True)


def test_the_question_of_a_deleted_run_does_not_count(guarded):
    """The run was deleted in Airflow and created again: its first try shows a new question."""
    guarded.ask()
    guarded.detect_others()
    assert guarded.ask().subject == "greet: act on 1 added, 1 removed?"
