"""What a take has of an XM Directory is what the directory shows."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from segue.directory.manifest import MANIFEST
from segue.errors import DataError, SettingsError
from segue.sandbox.vendors.qualtrics_api import generated
from segue.snapshot_sources.qualtrics import client
from segue.takes.moments import moment_of_key, why_only_now

from .conftest import ALL

SIZE = 230
LISTS = ("contact_id", "mailing_list", "opted_in", "unsubscribed_at")
TRANSACTIONS = ("contact_id", "date", "transaction_id", "type", "amount")


def contacts_of(size: int) -> list[dict]:
    ids = [f"CID_{size}x{number:09}" for number in range(size)]
    made = [generated.contact_at(f"POOL_of{size}", each) for each in ids]
    return [generated.with_memberships(each, segments=True) for each in made]


def rows_of(frame: pd.DataFrame, *names: str) -> set[tuple]:
    shown = frame[list(names)].astype(object)
    return set(shown.where(shown.notna(), None).itertuples(index=False, name=None))


def at(milliseconds: int | None) -> pd.Timestamp | None:
    return None if milliseconds is None else pd.Timestamp(milliseconds, unit="ms", tz="UTC")


def test_every_contact_has_its_fields_data_and_opt_state(xm):
    xm.take(SIZE, ALL)
    contacts = xm.snapshot(SIZE, ALL).contacts()
    names = (
        *("contact_id", "first_name", "last_name", "email", "phone", "language"),
        *("external_reference", "unsubscribed", "tier", "points"),
        *("created_at", "modified_at", "unsubscribed_at"),
    )
    assert rows_of(contacts, *names) == {
        (
            *(one["contactId"], one["firstName"], one["lastName"], one["email"], one["phone"]),
            *(one["language"], one["extRef"], one["directoryUnsubscribed"]),
            *(one["embeddedData"].get("tier"), one["embeddedData"]["points"]),
            *(at(one["creationDate"]), at(one["lastModified"])),
            at(one["directoryUnsubscribeDate"]),
        )
        for one in contacts_of(SIZE)
    }


def test_memberships_are_rows_with_their_own_opt_state(xm):
    xm.take(SIZE, ALL)
    rows = xm.snapshot(SIZE, ALL).rows("mailing_lists", LISTS)
    assert rows_of(rows, "contact_id", "mailing_list", "opted_in") == {
        (one["contactId"], prefix + each["name"], not each["unsubscribed"])
        for one in contacts_of(SIZE)
        for prefix, key in (("", "mailingListMembership"), ("segment:", "segmentMembership"))
        for each in one[key].values()
    }
    assert set(rows["mailing_list"]) == {"Newsletter", "VIP", "segment:Gold", "segment:At risk"}


def test_transactions_are_those_of_each_contact(xm):
    xm.take(SIZE, ALL)
    rows = xm.snapshot(SIZE, ALL).rows("transactions", TRANSACTIONS)
    assert rows_of(rows, "contact_id", "date", "transaction_id", "type", "amount") == {
        (
            each["contactId"],
            pd.Timestamp(each["transactionDate"], tz="UTC"),
            *(each["transactionId"], each["data"]["type"], each["data"]["amount"]),
        )
        for one in contacts_of(SIZE)
        for each in generated.transactions_of(one)
    }


def test_standard_fields_alone_are_read_from_the_list(xm, monkeypatch):
    monkeypatch.setattr(client.Client, "contact", lambda *_: pytest.fail("a contact was asked for"))
    result = xm.take(SIZE)
    assert result.rows == SIZE
    contacts = xm.snapshot(SIZE).contacts()
    assert rows_of(contacts, "contact_id", "unsubscribed") == {
        (one["contactId"], one["directoryUnsubscribed"]) for one in contacts_of(SIZE)
    }
    assert "created_at" not in contacts.columns


def test_lists_and_segments_have_the_names_that_the_team_gives_them(xm):
    fields = (
        "    mailing_lists: {news: CG_newsletter}\n    segments: {gold: SEG_gold}\n"
        "    embedded_data: {level: tier}\n"
    )
    xm.take(SIZE, fields)
    tables = xm.snapshot(SIZE, fields)
    assert set(tables.rows("mailing_lists", LISTS)["mailing_list"]) == {"news", "segment:gold"}
    assert set(tables.contacts()["level"].dropna()) == {"gold", "silver", "bronze"}


def test_the_manifest_says_that_it_is_no_view_of_one_instant(xm):
    key = xm.take(SIZE).key
    manifest = json.loads((xm.root / key / MANIFEST).read_text())
    assert manifest["is_one_view"] is False
    assert f"{manifest['as_of'][:19]}Z" == key


def test_no_other_day_is_taken_from_it(xm):
    definition = xm.definition(SIZE, ALL)
    assert definition.take.only_now == ["contacts", "mailing_lists", "transactions"]
    with pytest.raises(SettingsError, match="present"):
        moment_of_key(definition, "2026-11-22", definition.take.start_instant(definition.zone))
    assert "contacts, mailing_lists, transactions" in why_only_now(definition)


HOSTILE = [
    {"firstName": "a\x00b", "extRef": "007", "email": "a@example.com"},
    {"firstName": "x" * 10_240, "lastName": "Zoë 雨桐 👩‍👩‍👧 \u202e", "language": ""},
    {"embeddedData": {"tier": "1,5", "Tier ": "no", "lifecycle": "", "points": "00.10"}},
    {"embeddedData": {"tier": ["a", "é"], "lifecycle": None}},
    {"lastName": "'; DROP TABLE contacts; --\r\n\t\"", "unsubscribed": True},
]


def test_values_arrive_as_they_are(xm):
    ids = [xm.call("POST", "POOL_of0/contacts", each)["id"] for each in HOSTILE]
    xm.take(0, ALL)
    contacts = xm.snapshot(0, ALL).contacts().set_index("contact_id").loc[ids]
    assert contacts["first_name"].iloc[0] == "a\x00b"
    assert contacts["external_reference"].iloc[0] == "007"
    assert len(contacts["first_name"].iloc[1]) == 10_240
    assert contacts["last_name"].iloc[1] == HOSTILE[1]["lastName"]
    assert contacts["language"].iloc[1] == ""
    assert contacts["tier"].iloc[2:4].tolist() == ["1,5", '["a", "é"]']
    assert contacts["lifecycle"].iloc[2] == ""
    assert pd.isna(contacts["lifecycle"].iloc[3])
    assert contacts["points"].iloc[2] == "00.10"
    assert contacts["last_name"].iloc[4] == HOSTILE[4]["lastName"]
    assert contacts["unsubscribed"].tolist() == [False] * 4 + [True]


def test_a_directory_that_is_not_there_is_told(xm):
    definition = xm.definition(1).model_dump_json()
    assert "POOL_of1" in definition
    with pytest.raises(DataError, match="Qualtrics has no directory 'POOL_of99999999'"):
        xm.take(99_999_999)
    assert xm.files() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("    segments: {gold: SEG_golden}\n", "segments.gold.*no 'SEG_golden' among the segments"),
        ("    mailing_lists: {a: CG_0}\n", "mailing_lists.a.*no 'CG_0' among the mailinglists"),
        ("    embedded_data: {level: Tier}\n", "no contact has embedded data 'Tier'.*mean 'tier'"),
    ],
)
def test_what_nobody_could_be_in_or_have_is_told(xm, fields, message):
    with pytest.raises(DataError, match=message):
        xm.take(SIZE, fields)
    assert xm.files() == []


def test_two_lists_of_one_name_are_told(xm, monkeypatch):
    monkeypatch.setitem(generated.MAILING_LISTS, "CG_vip", "Newsletter")
    with pytest.raises(DataError, match="CG_newsletter and CG_vip are both called 'Newsletter'"):
        xm.take(SIZE, ALL)
    assert xm.files() == []


@pytest.mark.parametrize("connection", [{"conn_type": "http", "host": "http://127.0.0.1"}])
def test_a_connection_without_a_token_is_told(xm):
    with pytest.raises(SettingsError, match="'xm' needs an API token of Qualtrics"):
        xm.take(SIZE)
