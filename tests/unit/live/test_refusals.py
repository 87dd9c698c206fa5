"""A look-up that is refused for one contact, or for all: whoever was answered is asked again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr

from segue.contacts.live_look_up import Desk, PartlyLookedUp, look_up
from segue.contracts.live_source import Answer, LiveReader, LiveSource
from segue.errors import ConnectionFailure, ContactFailure, UnprovenRefusal
from segue.ledger.pacing import REFUSALS
from segue.live.http_details import HttpDetails
from tests.unit.channels.support import http, vendor
from tests.unit.live.clock import Wrist
from tests.unit.live.world import World, at_qualtrics

ANSWER = "crm answered 403"
LOAD = {
    "http": {
        "connection": "crm",
        "path": "/customers/lookup",
        "query": {"id": "{{ contact.contact_id }}"},
        "fields": ["level"],
    }
}


class Restricted(LiveSource):
    """Refuses some contacts, and everybody once ``lasts`` were answered; counts the calls."""

    name: ClassVar[str] = "restricted"
    connection: str = "none"
    _refused: Collection[str] = PrivateAttr(default=())
    _lasts: int = PrivateAttr(default=1_000_000)
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def provides(self) -> list[str]:
        return ["level"]

    def connect(self) -> RestrictedReader:
        return RestrictedReader(self)


class OneByOne(Restricted):
    concurrency: ClassVar[int] = 1


class RestrictedReader(LiveReader):
    def __init__(self, source: Restricted) -> None:
        self._source = source
        self._answered = 0

    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Answer]:
        source, [contact] = self._source, contacts
        source._asked.append(contact)
        if contact in source._refused or self._answered >= source._lasts:
            raise UnprovenRefusal(ANSWER, advice="check it")
        self._answered += 1
        return {contact: {"level": "mid"}}


def people(count: int) -> list[str]:
    return [f"c{number:03}" for number in range(count)]


def source(kind: type[Restricted], refused: Collection[str] = (), lasts: int = 1_000) -> Restricted:
    made = kind.model_validate({})
    made._refused, made._lasts = set(refused), lasts
    return made


def asked(through: LiveSource, contacts: Collection[str], ledger, **options: Any):
    desk = Desk(ledger, Wrist().clock)
    to_ask = {contact: {"contact_id": contact} for contact in contacts}
    return look_up(through, to_ask, desk, **options)


@pytest.mark.parametrize("kind", [Restricted, OneByOne])
@pytest.mark.parametrize(
    "refused",
    [
        *(["c000"], ["c015"], ["c029"]),
        *(people(30)[:6], people(30)[12:20], people(30)[-7:], people(30)[:15] + people(30)[16:]),
    ],
)
def test_whoever_is_refused_is_a_failure_of_its_own(ledger, kind, refused):
    """However many, and wherever they stand: one who is answered proves it of all others."""
    answers = asked(source(kind, refused), people(30), ledger)
    failures = {c: str(a) for c, a in answers.items() if isinstance(a, ContactFailure)}
    assert failures == dict.fromkeys(refused, ANSWER)
    assert answers.keys() == set(people(30))


@pytest.mark.parametrize("kind", [Restricted, OneByOne])
@pytest.mark.parametrize("count", [1, 4, 300])
def test_where_nobody_is_answered_it_is_the_connections(ledger, kind, count):
    through = source(kind, people(count))
    with pytest.raises(ConnectionFailure, match=f"{ANSWER}; check it"):
        asked(through, people(count), ledger)
    assert len(through._asked) <= 4 * REFUSALS + 8


@pytest.mark.parametrize("kind", [Restricted, OneByOne])
def test_a_connection_that_breaks_on_the_way_fails_nobody_and_forgets_nothing(ledger, kind):
    through = source(kind, lasts=100)
    with pytest.raises(PartlyLookedUp, match="contacts were refused, the last one") as caught:
        asked(through, people(300), ledger)
    assert len(caught.value.found) == 100
    assert not any(isinstance(each, ContactFailure) for each in caught.value.found.values())
    assert len(through._asked) < 100 + 4 * REFUSALS


def test_those_left_of_an_earlier_try_are_judged_by_whom_it_answered(ledger):
    """Their own try has nobody else."""
    answers = asked(
        source(Restricted, ["c000"]), ["c000"], ledger, find_witness=lambda: {"c001": {}}
    )
    assert isinstance(answers["c000"], ContactFailure)
    with pytest.raises(ConnectionFailure):
        asked(source(Restricted, ["c000"]), ["c000"], ledger)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Method Not Allowed"])
def test_one_customer_whom_the_api_may_not_show_stops_nobody(
    tmp_path, ledger, set_connection, status
):
    """As of a contact whose data is restricted; the id stands in the query."""

    def answer(request: str) -> bytes:
        is_refused = "id=b " in request
        return http(status) if is_refused else http("200 OK", '{"level": "mid"}')

    with vendor(answer) as url:
        set_connection("crm", conn_type="http", host=url)
        world = World(tmp_path, ledger, LOAD, text="{{ contact.contact_id }} {{ contact.level }}")
        world.days("a", "b", "c")
        world.run()
    assert world.received == ["a mid", "c mid"]
    assert world.outcomes["b"] == f"failed:look_up: crm answered {status[:3]}"


def test_a_limit_that_is_a_403_is_waited_out(ledger, set_connection):
    """GitHub's secondary one says when to come back."""
    answers = [http("403 Forbidden", "", {"Retry-After": "3"}), http("200 OK", '{"level": "mid"}')]
    clock = Wrist()
    with vendor(lambda _: answers.pop(0)) as url:
        set_connection("crm", conn_type="http", host=url)
        through = HttpDetails.model_validate(LOAD["http"])
        desk = Desk(ledger, clock.clock)
        found = look_up(through, {"a": {"contact_id": "a"}}, desk)
    assert found["a"]["level"] == "mid"
    assert sum(clock.sleeps) >= 3


def test_a_firewall_before_qualtrics_is_told_apart_as_well(tmp_path, ledger, sandbox):
    fine, refused = at_qualtrics(sandbox), at_qualtrics(sandbox)
    sandbox.fault("qualtrics", "forbidden", path=refused, times=100)
    world = World(tmp_path, ledger)
    world.days(fine, refused)
    world.run()
    assert world.outcomes == {
        fine: "delivered",
        refused: "failed:look_up: Qualtrics answered 403",
    }
