"""A contact whose record the API never answers stops nobody else: over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from segue.errors import TransientFailure
from segue.ledger import Ledger
from segue.ledger.pacing import REFUSALS, TRIES
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.channels.support import http, vendor
from tests.unit.live.world import World

LOAD = {
    "http": {
        "connection": "crm",
        "path": "/customers/{{ contact.contact_id }}",
        "fields": ["level"],
    }
}
FINE = http("200 OK", '{"level": "mid"}')
SILENT = {
    "500": http("500 Internal Server Error"),
    "503": http("503 Service Unavailable"),
    "429 for a minute": http("429 Too Many Requests", "", {"Retry-After": "30"}),
    "429 for hours": http("429 Too Many Requests", "", {"Retry-After": "7200"}),
    "no answer": b"",
}
PEOPLE = "abcdefgh"
WORDS = "each time it was asked for; others were answered"


class Api:
    """An API that has trouble with some records, and counts how often each is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trouble: dict[str, bytes] = {}
        self.everybodys: bytes | None = None

    def answer(self, request: str) -> bytes:
        contact = request.split()[1].removeprefix("/customers/")
        self.asked.append(contact)
        return self.everybodys or self.trouble.get(contact, FINE)


@pytest.fixture
def api(set_connection) -> Iterator[Api]:
    made = Api()
    with vendor(made.answer) as url:
        set_connection("crm", conn_type="http", host=url)
        yield made


def world_of(
    root: Path, ledger: Ledger, *contacts: str, branches: int = 1, **options: Any
) -> World:
    world = World(root, ledger, LOAD, text="{{ contact.contact_id }}", **options)
    world.days(*contacts)
    world.detect(branches)
    return world


def silent_at(world: World, count: int) -> None:
    """Let the task of the details be tried so often, a minute apart, while others are answered."""
    for _ in range(count):
        with pytest.raises(TransientFailure, match="others were answered"):
            world.load()
        world.now += timedelta(minutes=1)


@pytest.mark.parametrize(
    ("silence", "silent"),
    [*((name, "d") for name in SILENT), *(("500", some) for some in ("a", "h", "abcde"))],
)
def test_whoever_is_never_answered_fails_alone_at_the_tasks_second_try(
    tmp_path, ledger, api, silence, silent
):
    """First or last, one or many: the others are written to, and asked for once."""
    api.trouble = dict.fromkeys(silent, SILENT[silence])
    world = world_of(tmp_path, ledger, *PEOPLE)
    silent_at(world, 1)
    assert set(world.outcomes.values()) == {"released"}
    world.load()
    world.deliver()
    assert world.received == [contact for contact in PEOPLE if contact not in silent]
    for contact in silent:
        assert world.outcomes[contact].startswith("failed:look_up: crm ")
        assert world.outcomes[contact].endswith(WORDS)


def test_a_source_that_is_away_fails_nobody_and_is_asked_little(tmp_path, ledger, api):
    api.everybodys = SILENT["503"]
    world = world_of(tmp_path, ledger, *PEOPLE)
    for _ in range(3):
        with pytest.raises(TransientFailure, match="503; no other contact was answered either"):
            world.load()
    assert set(world.outcomes.values()) == {"released"}
    assert len(api.asked) <= 3 * (4 * TRIES + REFUSALS)
    api.everybodys = None
    world.load()
    world.deliver()
    assert world.received == list(PEOPLE)


def test_a_source_that_goes_away_on_the_way_fails_nobody(tmp_path, ledger, api):
    """Who was answered before is asked again, and is not answered now."""
    api.trouble = {"d": SILENT["500"]}
    world = world_of(tmp_path, ledger, *PEOPLE)
    silent_at(world, 1)
    api.everybodys = SILENT["500"]
    with pytest.raises(TransientFailure, match="no other contact was answered either"):
        world.load()
    api.everybodys, api.trouble = None, {}
    world.load()
    world.deliver()
    assert world.received == list(PEOPLE)


def test_who_is_answered_at_the_second_try_is_written_to(tmp_path, ledger, api):
    api.trouble = {"d": SILENT["500"]}
    world = world_of(tmp_path, ledger, *PEOPLE)
    silent_at(world, 1)
    api.trouble = {}
    api.asked.clear()
    world.load()
    world.deliver()
    assert world.received == list(PEOPLE)
    assert api.asked == ["d"]


def test_without_retries_the_first_try_tells(tmp_path, ledger, api):
    api.trouble = {"d": SILENT["500"]}
    world = world_of(tmp_path, ledger, *PEOPLE, more="retries: 0")
    world.load()
    world.deliver()
    assert world.outcomes["d"].endswith(WORDS)


def test_a_contact_with_a_branch_of_its_own_is_judged_by_the_other_branches(tmp_path, ledger, api):
    """As it is in every run of up to a hundred contacts."""
    api.trouble = {"b": SILENT["500"]}
    world = world_of(tmp_path, ledger, "a", "b", "c", branches=100)
    first, silent, last = world.refs
    world.ref = silent
    with pytest.raises(TransientFailure, match="no other contact was answered either"):
        world.load()
    for world.ref in (first, last):
        world.load()
        world.deliver()
    world.ref = silent
    world.load()
    world.deliver()
    assert world.received == ["a", "c"]
    assert world.outcomes["b"].endswith(WORDS)


def test_the_person_who_clears_the_task_gets_all_tries_anew(tmp_path, ledger, api):
    api.trouble = {"d": SILENT["500"]}
    world = world_of(tmp_path, ledger, *PEOPLE)
    silent_at(world, 1)
    world.load()
    world.deliver()
    with pytest.raises(TransientFailure, match="others were answered"):
        world.load(clear_number=1)


def test_in_segue_release_whoever_is_not_answered_waits_and_stops_nobody(tmp_path, ledger, api):
    """There is always a next time."""
    api.trouble = {"a": SILENT["429 for hours"]}
    world = world_of(tmp_path, ledger, *PEOPLE)
    with ledger.engine.begin() as connection:
        values = {"state": State.HELD, "held_until": world.now, "held_since": world.now}
        connection.execute(update(deliveries).values(values))
    world.resume()
    assert world.received == list(PEOPLE[1:])
    assert world.outcomes["a"].startswith("held")
    api.trouble = {}
    world.now += timedelta(minutes=5)
    world.resume()
    assert world.outcomes["a"] == "delivered"
