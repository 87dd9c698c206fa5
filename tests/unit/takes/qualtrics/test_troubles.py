"""Whatever goes wrong while an XM Directory is read: the snapshot is whole or absent."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from segue.contracts.channel import Limit
from segue.directory.manifest import MANIFEST
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.sandbox.access_tokens import CLIENT_ID, CLIENT_SECRET
from segue.sandbox.server import Sandbox
from segue.snapshot_sources.qualtrics import client, records
from segue.snapshot_sources.qualtrics.client import Client, Pace
from segue.snapshot_sources.qualtrics.source import QualtricsDirectory
from tests.unit.channels.support import http, vendor
from tests.unit.takes.killing import IN_THE_MIDST, LONGEST, run_for

from .conftest import ALL, XmDirectory

SIZE = 230


def everybody(size: int = SIZE) -> list[str]:
    return [f"CID_{size}x{number:09}" for number in range(size)]


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("rate_limited", {"retry_after": 0, "times": 5}),
        ("server_error", {"times": 3}),
        ("reset_mid_answer", {"times": 2}),
        ("malformed_answer", {"times": 2}),
    ],
)
def test_what_time_cures_is_asked_again(xm, monkeypatch, fault, options):
    monkeypatch.setattr(Pace, "pause", lambda self, seconds: None)
    xm.sandbox.fault("qualtrics", fault, **options)
    xm.take(SIZE, ALL)
    assert xm.ids(SIZE, ALL) == everybody()


def test_a_pause_that_qualtrics_asks_for_is_kept_by_all(xm):
    xm.sandbox.fault("qualtrics", "rate_limited", retry_after=2, path="/contacts/CID_")
    begin = time.monotonic()
    xm.take(SIZE, ALL)
    assert time.monotonic() - begin > 2
    assert xm.ids(SIZE, ALL) == everybody()


@pytest.mark.parametrize(
    ("fault", "message"),
    [("server_error", "Qualtrics answered 503: ISE_1; tried for 1 s"), ("unauthorized", "401")],
)
def test_what_it_does_not_cure_publishes_nothing(xm, monkeypatch, fault, message):
    monkeypatch.setattr(client, "LONGEST_PATIENCE", 1)
    xm.sandbox.fault("qualtrics", fault, times=9_999, path="/contacts/CID_")
    with pytest.raises(DataError, match=message) as info:
        xm.take(SIZE, ALL)
    assert "example.com" not in str(info.value)
    assert xm.files() == []
    xm.sandbox.clear()
    xm.take(SIZE, ALL)
    assert xm.ids(SIZE, ALL) == everybody()


def _time_a_take(root, set_connection, connection) -> float:
    """Return how many seconds a take lasts that nobody disturbs, and leave nothing of it."""
    with Sandbox() as sandbox:
        set_connection("xm", **{**connection, "host": f"{sandbox.url}/qualtrics"})
        begin = time.monotonic()
        XmDirectory(root, sandbox).take(SIZE, ALL)
    shutil.rmtree(root.path)
    root.mkdir()
    return time.monotonic() - begin


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("losses", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_whenever_the_server_is_lost_the_snapshot_is_whole_or_absent(
    root, set_connection, connection, monkeypatch, losses
):
    monkeypatch.setattr(client, "LONGEST_PATIENCE", 1)
    duration = _time_a_take(root, set_connection, connection)
    moments, lost = random.Random(16), 0
    for number in range(losses):
        sandbox = Sandbox().__enter__()
        set_connection("xm", **{**connection, "host": f"{sandbox.url}/qualtrics"})
        xm = XmDirectory(root, sandbox)
        moment = moments.uniform(0, LONGEST) if number else IN_THE_MIDST
        end = threading.Timer(moment * duration, sandbox.__exit__, (None, None, None))
        end.start()
        try:
            xm.take(SIZE, ALL)
        except DataError as error:
            lost += 1
            assert "Qualtrics" in str(error)  # noqa: PT017 - some of them end in time
            assert xm.files() == []
        else:
            assert xm.ids(SIZE, ALL) == everybody()
            shutil.rmtree(root.path)
            root.mkdir()
        end.join()
    assert lost


def test_who_is_left_out_of_one_list_is_in_the_snapshot(xm, monkeypatch):
    """As a contact is before whom others are deleted, between two pages."""
    whole, lists = Client.listed, []

    def listed(self: Client) -> Any:
        lists.append(self)
        left_out = f"CID_{SIZE}x000000100" if len(lists) == 1 else f"CID_{SIZE}x000000101"
        for page in whole(self):
            yield [one for one in page if one["contactId"] != left_out]

    monkeypatch.setattr(Client, "listed", listed)
    xm.take(SIZE, ALL)
    assert xm.ids(SIZE, ALL) == everybody()


def test_contacts_that_come_and_go_meanwhile(xm, monkeypatch):
    whole, changed = Client.contact, threading.Lock()

    def contact(self: Client, name: str) -> Any:
        if name.endswith("120") and changed.acquire(blocking=False):
            for number in (5, 120, 229):
                xm.call("DELETE", f"POOL_of{SIZE}/contacts/CID_{SIZE}x{number:09}")
            xm.call("POST", f"POOL_of{SIZE}/contacts", {"email": "new@example.com"})
        return whole(self, name)

    monkeypatch.setattr(Client, "contact", contact)
    xm.take(SIZE, ALL)
    gone = {f"CID_{SIZE}x000000120", f"CID_{SIZE}x000000229"}  # the fifth was read before
    assert {*xm.ids(SIZE, ALL)} == {*everybody(), f"CID_{SIZE}x{SIZE:09}"} - gone


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_whenever_it_is_killed_the_snapshot_is_whole_or_absent(xm, kills):
    moments, size = random.Random(16), 600
    definition, whole = xm.definition(size, ALL), []
    take = partial(run_for, "tests.unit.takes.qualtrics.killed", xm.root, size)
    duration = take()
    (whole_one,) = list_snapshots(definition, now=datetime.now(UTC))
    (whole_one.folder / MANIFEST).unlink()
    for number in range(kills):
        moment = moments.uniform(0, LONGEST) if number else IN_THE_MIDST
        take(seconds=moment * duration)
        for one in list_snapshots(definition, now=datetime.now(UTC)):
            if one.complete:
                whole.append(one.key)
                assert SnapshotTables(definition, one).count("contacts") == size
                (one.folder / MANIFEST).unlink()  # so that the next has something to do
    assert len(whole) < kills
    xm.take(size, ALL)
    [last] = [one for one in list_snapshots(definition, now=datetime.now(UTC)) if one.complete]
    assert SnapshotTables(definition, last).count("contacts") == size


def test_a_token_that_ends_meanwhile_is_renewed(root, set_connection, monkeypatch, caplog):
    """The sandbox's tokens live for a minute, which passes within the take."""
    times = [datetime.now(UTC)]
    with Sandbox(clock=lambda: times[0]) as sandbox:
        place = f"{sandbox.url}/qualtrics"
        oauth2 = {"endpoint": f"{place}/oauth2/token", "scope": "manage:all"}
        extra = {"segue_rate": "none", "oauth2": oauth2}
        login = {"login": CLIENT_ID, "password": CLIENT_SECRET}
        set_connection("xm", conn_type="http", host=place, extra=extra, **login)
        xm, whole = XmDirectory(root, sandbox), Client.contact

        def contact(self: Client, name: str) -> Any:
            if name.endswith("150"):
                times[0] += timedelta(seconds=90)
            return whole(self, name)

        monkeypatch.setattr(Client, "contact", contact)
        caplog.set_level(logging.DEBUG)
        xm.take(SIZE, ALL)
        assert xm.ids(SIZE, ALL) == everybody()
        tokens = sandbox.store.documents["qualtrics.access_tokens"]
        assert len(tokens) > 1
        assert not [each for each in (*tokens, CLIENT_SECRET) if each in caplog.text]


ODD = [
    ('{"result": {"elements": [{"contactId": "../Ann"}], "nextPage": null}}', "without an id"),
    ('{"result": {"elements": [{"firstName": "Ann"}], "nextPage": null}}', "without an id"),
    (
        '{"result": {"elements": [{"contactId": "CID_1"}], "nextPage": null}}',
        "contact CID_1.*opted",
    ),
    ('{"result": {"elements": {}, "nextPage": null}}', "another shape"),
    ('{"result": []}', "without a result"),
    ("[]", "without a result"),
    (
        '{"result": {"elements": [], "nextPage": "https://x.example/?skipToken=1"}}',
        "in a circle",
    ),
    ('{"result": {"elements": [], "nextPage": "Ann"}}', "lead nowhere"),
]


@pytest.mark.parametrize(("answer", "message"), ODD)
def test_an_answer_of_another_shape_is_told_without_a_contact_s_text(
    root, set_connection, answer, message
):
    with vendor(http("200 OK", answer)) as url:
        extra = {"segue_rate": "none"}
        set_connection("xm", conn_type="http", host=url, password="secret-token", extra=extra)
        xm = XmDirectory(root, None)
        with pytest.raises(DataError, match=message) as info:
            xm.take(1)
    assert "Ann" not in str(info.value)
    assert "secret-token" not in str(info.value)
    assert xm.files() == []


def source(**fields: Any) -> QualtricsDirectory:
    return QualtricsDirectory.model_validate({"directory": "POOL_1", **fields})


WHOLE = source(embedded_data=["tier"], mailing_lists="all", segments="all", transactions=["type"])
RECORD = {"contactId": "CID_1", "directoryUnsubscribed": False, "firstName": "Ann"}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"tier": 7}, "7"),
        ({"tier": 1.10}, "1.1"),
        ({"tier": True}, "true"),
        ({"tier": {"a": None}}, '{"a": null}'),
        ({"tier": "half \ud83d a character"}, "half \ufffd a character"),
        ({"tier": None}, None),
        ({}, None),
        (None, None),
        ("no object", None),
    ],
)
def test_embedded_data_of_any_type_is_text(data, text):
    row = records.contact_row({**RECORD, "embeddedData": data}, WHOLE)
    assert row["tier"] == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directoryUnsubscribed": "no"}, "contact CID_1: .*whether it is opted out"),
        ({"directoryUnsubscribed": None}, "contact CID_1: .*whether it is opted out"),
        ({"creationDate": "Ann"}, "contact CID_1: its creationDate is no time"),
        ({"creationDate": 10**18}, "contact CID_1: its creationDate is no time"),
        ({"lastModified": [1]}, "contact CID_1: its lastModified is no time"),
        ({"mailingListMembership": {"CG_1": "Ann"}}, "mailingListMembership has another shape"),
        (
            {"mailingListMembership": {"CG_1": {"name": "Ann"}}},
            "opted out of the mailing list CG_1",
        ),
    ],
)
def test_a_field_of_another_kind_is_told_with_the_id_alone(change, message):
    record = {**RECORD, **change}
    with pytest.raises(DataError, match=message) as info:
        _ = records.contact_row(record, WHOLE), list(records.Memberships(WHOLE).rows(record))
    assert "Ann" not in str(info.value)


@pytest.mark.parametrize(
    "written", [1767225600000, "2026-01-01T00:00:00Z", "2026-01-01T01:00+01:00"]
)
def test_a_time_is_read_as_any_page_writes_it(written):
    row = records.contact_row({**RECORD, "creationDate": written}, WHOLE)
    assert row["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("date", [None, "", "soon"])
def test_a_transaction_without_a_date_is_told(date):
    with pytest.raises(DataError, match="contact CID_1"):
        list(records.transaction_rows("CID_1", [{"transactionDate": date, "data": {}}], WHOLE))


def test_calls_are_spread_within_the_limit():
    pace = Pace([Limit("xm", 600, 60.0)])
    begin = time.monotonic()
    for _ in range(6):
        pace.take_turn()
    assert 0.5 < time.monotonic() - begin < 5


def test_who_waits_gives_up_at_the_end():
    pace = Pace([])
    pace.hold(3_600)
    threading.Timer(0.2, pace.end).start()
    with pytest.raises(DataError, match="the take has ended"):
        pace.take_turn()
