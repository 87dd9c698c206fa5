"""Every parameter of every route with what scanners, slips and other programs put there.

Whatever it is, it is the visitor's: an answer of 2xx, 3xx or 4xx, never a 500, and never a 503 that
says the ledger is away. Nothing that a reader is shown says where the ledger is.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.states import State
from segue.workflows.catalog import Catalog
from tests.ui.filled import day_key, record, settle
from tests.ui.test_api import bearer
from tests.unit.conftest import _database, _postgresql

TEXTS = (
    *("", " ", "\0", "a\0b", "\x1f\x7f\x80", "a\r\nX-Header: b", "\u202eab", "\ufffe\ufffd"),
    *("😀", chr(0x10FFFF), "Ünïcödé", "ﬀ", "'\";--", "' OR 1=1 --", "%", "_", "\\", "%00", "%s"),
    *("../../etc/passwd", "..%2f..%2fapp.py", "/etc/passwd", "file:///etc/passwd", "C:\\x", "."),
    *("{{ 7*7 }}", "{% raw %}", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "${7*7}"),
    *("x" * 64, "x" * 249, "x" * 300, "x" * 5_000, "é" * 250, "/" * 300, "a/" * 200, "%25" * 100),
)
NUMBERS = (
    *("0", "-1", "+1", "1.5", "1e400", "NaN", "Infinity", "0x10", "٣", "1_000", "007", "true"),
    *("2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("9" * 30, "9" * 400, "null", "[]", "{}"),
)
TIMES = (
    *("2026-13-99", "2026-02-30", "0000-00-00", "0001-01-01", "9999-12-31", "10000-01-01"),
    *("2026-W01-1", "2026-01-01T00:00:00", "2026-01-01T25:61:61Z", "2026-01-01T00:00:00+99:99"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"),
    *("0001-01-01T00:00:00+14:00|x", "9999-12-31T23:59:59-14:00|x", "2026-11-22T06:00:00|x"),
    *("2026-11-22T06:00:00Z|", "2026-11-22T06:00:00Z|\0", "|", "||", "yesterday", "now"),
)
HOSTILE = (*TEXTS, *NUMBERS, *TIMES)
WORST = (  # one of each kind that has broken a page before
    *("", "\0", "x" * 300, chr(0x10FFFF), "../../etc/passwd", "9223372036854775808", "9" * 400),
    *("2026-13-99", "0001-01-01T00:00:00+14:00|x", "9999-12-31T23:59:59-14:00"),
)
CORPORA = [WORST, pytest.param(HOSTILE, marks=[pytest.mark.slow, pytest.mark.timeout(3_000)])]
every_corpus = pytest.mark.parametrize("corpus", CORPORA, ids=["worst", "all"])
IN_JSON = (
    *(None, True, 0, -1, 1.5, 1e308, 10**30, [], {}, [[]], [None], ["x"], {"a": 1}),
    *("\ud800", ["\udfff"], ["\0"], ["x"] * 501, "x" * 100_000, "%" * 60_000),
)
BESIDE = (
    "tab",
    "name",
    "request",
    "self",
    "path",
    "page",
    "parameters",
    "status",
    "a\0b",
    "x" * 300,
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place_of_ledger(request, place, monkeypatch) -> Iterator[str]:
    """Where the ledger is: a part of its address that nobody may be shown."""
    if request.param == "sqlite":
        yield str(place / "segue.db")
        return
    admin = _postgresql()
    with _database(admin) as url:
        monkeypatch.setenv("SEGUE_LEDGER", url.render_as_string(hide_password=False))
        yield str(url.database)
    admin.dispose()


@pytest.fixture
def good(place_of_ledger, place, definitions) -> Iterator[Mapping[str, str]]:
    """A filled ledger with a snapshot, and a value of each parameter that leads to something."""
    definitions("welcome")
    for back in (1, 2):
        folder = place / "snapshots" / "welcome" / day_key(back)
        folder.mkdir(parents=True)
        with (folder / "contacts.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["contact_id", "tier", "email"], ["ann", "gold", "a@b.c"]])
    engine = open_engine(os.environ["SEGUE_LEDGER"])
    upgrade(engine)
    ledger = Ledger(engine, "test")
    fingerprint = Catalog(place / "include").resolve("welcome").fingerprint
    record(ledger, "welcome", "run", 1, "ann", "bob", "carl", definition=fingerprint)
    settle(ledger, "ann", State.UNCERTAIN)
    key = settle(ledger, "bob", State.FAILED, reason="400: no")
    yield {
        "workflow": "welcome",
        "run": "run",
        "task": "contact.mail",
        "key": key,
        "id": "ann",
        "segment": "welcome",
        "contact": "ann",
        "at": day_key(1),
        "from": day_key(2),
        "path": "segue.css",
        "settlement": "delivered",
    }
    engine.dispose()


@pytest.fixture(autouse=True)
def no_preview(monkeypatch):
    """Nothing to preview: the process that makes one is asked for with sound names alone."""
    monkeypatch.setattr("segue.web.workflows.next_pair", lambda *_: None)


def routes(*methods: str) -> Iterator[APIRoute]:
    from segue.web.app import create_app

    for route in create_app().routes:
        if isinstance(route, APIRoute) and route.methods & set(methods):
            yield route


def parameters(route: APIRoute) -> tuple[list[str], list[str]]:
    """The names in the route's path and in its query."""
    flat = get_flat_dependant(route.dependant)
    return [each.alias for each in flat.path_params], [each.alias for each in flat.query_params]


def address(route: APIRoute, values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The path and the query of a route; what is in neither is left out."""
    in_path, in_query = parameters(route)
    path = route.path.replace(":path}", "}")
    for name in in_path:
        path = path.replace(f"{{{name}}}", quote(values.get(name, "x"), safe=""))
    return path, {name: values[name] for name in in_query if name in values}


def faults(answer, where: str, what: Any) -> list[str]:
    """What is wrong with an answer."""
    texts = (answer.text, str(dict(answer.headers)))
    problems = []
    if answer.status_code >= 500:
        problems.append(f"{answer.status_code} {where} {what!r:.80}: {answer.text[-300:]!r}")
    if any(secret in text for text in texts for secret in (*SECRETS, os.environ["SEGUE_LEDGER"])):
        problems.append(f"says where the ledger is: {where} {what!r:.80}")
    return problems


SECRETS: list[str] = []


@every_corpus
def test_no_parameter_of_any_route_breaks_a_page(client, good, place_of_ledger, corpus):
    SECRETS[:] = [place_of_ledger]
    una, wrong, count = client("una"), [], 0
    for route in routes("GET"):
        in_path, in_query = parameters(route)
        for name in (*in_path, *in_query):
            for value in corpus:
                path, query = address(route, {**good, name: value})
                answer = una.get(f"/segue{path}", params=query)
                wrong += faults(answer, f"{route.path} {name}", value)
                count += 1
        path, query = address(route, good)
        for name in BESIDE:
            answer = una.get(f"/segue{path}", params={**query, name: "1"})
            wrong += faults(answer, f"{route.path} beside", name)
    assert count > 60 * len(corpus)
    assert wrong == []


@every_corpus
def test_no_field_of_any_form_breaks_a_page(client, good, place_of_ledger, corpus):
    SECRETS[:] = [place_of_ledger]
    una, wrong = client("una"), []
    for route in routes("POST"):
        fields = [each.alias for each in get_flat_dependant(route.dependant).body_params]
        if route.path.startswith("/api/") or not fields:
            continue
        for name in fields:
            for value in corpus:
                data = {**{key: good[key] for key in fields if key in good}, name: value}
                answer = una.post(f"/segue{route.path}", data=data, headers=bearer("una"))
                wrong += faults(answer, f"{route.path} {name}", value)
    assert wrong == []


@every_corpus
def test_no_wish_of_any_program_breaks_the_api(client, good, place_of_ledger, corpus):
    SECRETS[:] = [place_of_ledger]
    anybody, wrong, count = client(None), [], 0
    headers = {**bearer("una"), "Content-Type": "application/json"}

    def ask(path: str, what: Any, body: str) -> None:
        answer = anybody.post(f"/segue{path}", content=body, headers=headers)
        wrong.extend(faults(answer, path, what))

    for route in routes("POST"):
        if route.body_field is None or not route.path.startswith("/api/"):
            continue
        wish = route.body_field.field_info.annotation
        if not (isinstance(wish, type) and issubclass(wish, BaseModel)):
            continue
        path, _ = address(route, good)
        for name in wish.model_fields:
            for value in (*corpus, *IN_JSON):
                own = {"settlement": "delivered"} if "settlement" in wish.model_fields else {}
                ask(path, value, json.dumps({**own, name: value}))
                count += 1
        for body in ("", "[]", "null", '{"\\ud800": 1}', '{"a\\u0000": 1}', "[" * 5_000, "{"):
            ask(path, body, body)
    assert count > 8 * len(corpus)
    assert wrong == []


def test_a_text_with_a_nul_is_the_visitors_mistake(client, good):
    """It is said as that, on SQLite as well, which would look for it in vain."""
    for path in ("contact?id=%00", "run?workflow=welcome&run=a%00", "workflows?search=%00"):
        answer = client("una").get(f"/segue/{path}")
        assert answer.status_code == 422, path
        assert "NUL" in answer.text


def test_a_number_beyond_the_ledgers_is_refused(client, good):
    for number in (2**63, 10**30):
        for path in ("requests", "api/v1/requests"):
            assert client("una").get(f"/segue/{path}?before={number}").status_code == 422


def test_a_time_without_a_zone_is_refused_and_not_taken_for_the_servers(client, good):
    path = "/segue/api/v1/workflows/welcome/runs"
    vera = client("vera")
    assert vera.get(path, params={"before": "2026-01-01T00:00:00"}).status_code == 422
    assert "a time with a zone" in vera.get(path, params={"before": "2026-01-01T00:00:00"}).text
    assert vera.get(path, params={"before": "2036-01-01T00:00:00+02:00"}).json()["items"]


def test_a_date_that_is_none_is_a_422(client, good):
    query = {"segment": "welcome", "contact": "ann", "at": "2026-13-99"}
    answer = client("una").get("/segue/segment/explain", params=query)
    assert answer.status_code == 422
    assert "is not a snapshot key" in answer.text


def test_a_broken_database_is_said_without_its_address(client, good, place_of_ledger):
    """Nor what it says itself: that may name its host, its user, its tables."""
    assert client("vera").get("/segue/workflows").status_code == 200
    if not place_of_ledger.endswith(".db"):
        pytest.skip("a file is easily broken")
    with closing(sqlite3.connect(place_of_ledger)) as connection:
        connection.execute("ALTER TABLE deliveries RENAME TO elsewhere")
    for path in ("workflows", "api/v1/workflows"):
        answer = client("vera").get(f"/segue/{path}")
        assert answer.status_code == 503
        assert "database cannot be used" in answer.text
        for secret in (place_of_ledger, "no such table", "deliveries:"):
            assert secret not in answer.text
