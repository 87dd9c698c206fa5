"""Directories of any size of the look-alike of Qualtrics, as any client meets them.

What is answered is held against the fields of Qualtrics' own description
(tests/unit/data/qualtrics_directories.json says where they are from).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft7Validator

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import TOKEN

FILE = Path(__file__).parents[2] / "data/qualtrics_directories.json"
SCHEMAS = json.loads(FILE.read_text())["schemas"]
NEW = "useNewPaginationScheme=true"


def get(sandbox: Sandbox, path: str) -> requests.Response:
    place = path if path.startswith("http") else f"{sandbox.url}/qualtrics/API/v3{path}"
    return requests.get(place, headers={"X-API-TOKEN": TOKEN}, timeout=60)


def answer(sandbox: Sandbox, path: str) -> Any:
    response = get(sandbox, path)
    assert response.status_code == 200, response.text
    return response.json()["result"]


def conforms(name: str, value: Any) -> None:
    problems = [error.message for error in Draft7Validator(SCHEMAS[name]).iter_errors(value)]
    assert problems == []


def pages(sandbox: Sandbox, path: str) -> list[list[str]]:
    ids = []
    while path:
        result = answer(sandbox, path)
        conforms("a page of a directory", result)
        ids.append([one["contactId"] for one in result["elements"]])
        path = result["nextPage"]
    return ids


def change(sandbox: Sandbox, method: str, path: str, body: Any = None) -> Any:
    response = requests.request(
        method,
        f"{sandbox.url}/qualtrics/API/v3{path}",
        json=body,
        headers={"X-API-TOKEN": TOKEN},
        timeout=60,
    )
    assert response.status_code == 200, response.text
    return response.json().get("result")


@pytest.mark.parametrize("scheme", ["", f"&{NEW}"])
def test_a_directory_has_as_many_contacts_as_its_name_says(sandbox: Sandbox, scheme: str):
    lists = pages(sandbox, f"/directories/POOL_of250/contacts?pageSize=100{scheme}")
    assert [len(ids) for ids in lists] == [100, 100, 50]
    assert len({each for ids in lists for each in ids}) == 250
    assert pages(sandbox, f"/directories/POOL_of0/contacts?pageSize=100{scheme}") == [[]]


def test_a_contact_is_shown_with_all_that_is_published_of_it(sandbox: Sandbox):
    path = "/directories/POOL_of20/contacts/CID_20x000000003"
    conforms("a contact", answer(sandbox, path))
    assert "segmentMembership" not in answer(sandbox, path)
    contact = answer(sandbox, f"{path}?includeSegments=true")
    conforms("a contact", contact)
    assert {one["name"] for one in contact["segmentMembership"].values()} == {"At risk"}
    gold = answer(sandbox, "/directories/POOL_of20/contacts/CID_20x000000004?includeSegments=true")
    assert gold["segmentMembership"].keys() == {"SEG_gold"}
    assert gold["mailingListMembership"].keys() == {"CG_newsletter", "CG_vip"}


def test_who_opted_out_has_a_date(sandbox: Sandbox):
    leaver = answer(sandbox, "/directories/POOL_of20/contacts/CID_20x000000019")
    assert (leaver["directoryUnsubscribed"], leaver["directoryUnsubscribeDate"]) == (
        True,
        1767398400000,
    )
    listed = answer(sandbox, "/directories/POOL_of20/contacts/CID_20x000000007")
    assert listed["mailingListMembership"]["CG_newsletter"]["unsubscribed"] is True


def test_contacts_are_created_changed_and_deleted(sandbox: Sandbox):
    where = "/directories/POOL_of2/contacts"
    created = change(sandbox, "POST", where, {"email": "a@example.com"})["id"]
    change(sandbox, "PUT", f"{where}/{created}", {"embeddedData": {"tier": "gold"}})
    change(sandbox, "DELETE", f"{where}/CID_2x000000000")
    assert pages(sandbox, f"{where}?{NEW}") == [["CID_2x000000001", created]]
    assert get(sandbox, f"{where}/CID_2x000000000").status_code == 404
    shown = answer(sandbox, f"{where}/{created}?includeSegments=true")
    assert shown["segmentMembership"].keys() == {"SEG_gold"}


def test_a_contact_has_the_transactions_of_its_number(sandbox: Sandbox):
    result = answer(sandbox, "/directories/POOL_of8/contacts/CID_8x000000007/transactions")
    assert len(result["elements"]) == 3
    assert {one["data"]["type"] for one in result["elements"]} == {"order", "support_call"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/directories/POOL_of2/mailinglists/CG_vip", 200),
        ("/directories/POOL_of2/mailinglists/CG_other", 404),
        ("/directories/POOL_of2/segments/SEG_gold", 200),
        ("/directories/POOL_of2/segments/SEG_other", 404),
        ("/directories/POOL_sandbox/segments/SEG_gold", 404),
        ("/directories/POOL_of2/contacts/CID_3x000000000", 404),
        ("/directories/POOL_of2/contacts/CID_2x000000002", 404),
        ("/directories/POOL_no/contacts", 404),
        ("/directories/POOL_of2/contacts?pageSize=101", 400),
    ],
)
def test_what_is_there_and_what_is_not(sandbox: Sandbox, path: str, status: int):
    assert get(sandbox, path).status_code == status


def test_the_limits_of_a_minute_bite():
    """Sixty calls of segments, and three thousand of all."""
    times = [datetime(2026, 11, 22, tzinfo=UTC)]
    with Sandbox(clock=lambda: times[0]) as sandbox:
        path = "/directories/POOL_of1/segments/SEG_gold"
        assert {get(sandbox, path).status_code for _ in range(60)} == {200}
        refusal = get(sandbox, path)
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "60")
        assert get(sandbox, "/directories/POOL_of1/contacts").status_code == 200
        times[0] += timedelta(seconds=60)
        assert get(sandbox, path).status_code == 200
