from __future__ import annotations

from typing import Any

import httpx
import pytest

from segue.sandbox import qualtrics_api
from segue.sandbox.server import Sandbox

TOKEN = {"X-API-TOKEN": qualtrics_api.API_TOKEN}
CONTACTS = f"/qualtrics/API/v3/directories/{qualtrics_api.DIRECTORY}/contacts"
ADA = {
    "firstName": "Ada",
    "lastName": "King",
    "email": "ada@example.com",
    "phone": "111-111-1111",
    "extRef": "my_Internal_ID_12345",
    "embeddedData": {"level": "mid", "area": "coast"},
    "language": "",
    "unsubscribed": False,
}
# of a contact, by Qualtrics' own client (spec/lib/directory_contact_collection_spec.rb)
FIELDS = {
    *("contactId", "creationDate", "lastModified", "firstName", "lastName", "email"),
    *("emailDomain", "phone", "language", "writeBlanks", "extRef", "embeddedData"),
    *("transactionData", "stats", "skipped", "directoryUnsubscribed"),
    *("directoryUnsubscribeDate", "mailingListMembership"),
}


def create(web: httpx.Client, **changes: Any) -> str:
    answer = web.post(CONTACTS, json={**ADA, **changes}, headers=TOKEN)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["id"])


def show(web: httpx.Client, contact: str) -> dict[str, Any]:
    found: dict[str, Any] = web.get(f"{CONTACTS}/{contact}", headers=TOKEN).json()["result"]
    return found


def test_a_contact_is_created_and_shown(web: httpx.Client, sandbox: Sandbox) -> None:
    """200 with the id; one contact has other names for the opt-out than a list has."""
    contact = create(web)
    found = show(web, contact)

    assert set(found) == FIELDS
    assert found["contactId"] == contact
    assert (found["email"], found["emailDomain"]) == ("ada@example.com", "example.com")
    assert found["embeddedData"] == {"level": "mid", "area": "coast"}
    assert (found["directoryUnsubscribed"], found["directoryUnsubscribeDate"]) == (False, None)
    assert isinstance(found["creationDate"], int)
    assert sandbox.messages() == []


def test_a_contact_is_updated(web: httpx.Client) -> None:
    """What is not written stays, embedded data too; who opts out has a date from then on."""
    contact = create(web)
    changes = {"unsubscribed": True, "embeddedData": {"level": "high"}}
    answer = web.put(f"{CONTACTS}/{contact}", json=changes, headers=TOKEN)
    found = show(web, contact)

    assert answer.status_code == 200
    assert set(answer.json()) == {"meta"}
    assert found["firstName"] == "Ada"
    assert found["embeddedData"] == {"level": "high", "area": "coast"}
    assert found["directoryUnsubscribed"] is True
    assert found["directoryUnsubscribeDate"] == found["lastModified"]


def test_contacts_are_listed_page_after_page(web: httpx.Client, sandbox: Sandbox) -> None:
    contacts = [create(web, firstName=name) for name in ("a", "b", "c")]
    first = web.get(CONTACTS, params={"pageSize": "2"}, headers=TOKEN).json()["result"]
    second = web.get(first["nextPage"], headers=TOKEN).json()["result"]

    assert [each["contactId"] for each in first["elements"] + second["elements"]] == contacts
    assert first["nextPage"].startswith(sandbox.url + CONTACTS)
    assert second["nextPage"] is None
    assert first["elements"][0]["unsubscribed"] is False


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "ATP_2"),
        ({"X-API-TOKEN": "x"}, 401, "DCD_7"),
        ({"Authorization": "x"}, 400, "ATP_2"),
    ],
)
def test_a_token_is_needed(
    web: httpx.Client, headers: dict[str, str], status: int, code: str
) -> None:
    answer = web.get(CONTACTS, headers=headers)

    assert (answer.status_code, answer.json()["meta"]["error"]["errorCode"]) == (status, code)
    assert answer.json()["meta"]["httpStatus"].startswith(f"{status} - ")


def test_oauth_does_as_well(web: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {qualtrics_api.API_TOKEN}"}

    assert web.get(CONTACTS, headers=headers).status_code == 200


def test_what_is_not_there_is_404_and_a_path_has_no_code(web: httpx.Client) -> None:
    """A contact of another directory is not there either."""
    contact = create(web)
    other = CONTACTS.replace(qualtrics_api.DIRECTORY, qualtrics_api.OTHER_DIRECTORY)
    unknown = CONTACTS.replace(qualtrics_api.DIRECTORY, "POOL_0")
    paths = (f"{CONTACTS}/CID_0", f"{other}/{contact}", unknown, "/qualtrics/API/v3/nothing")
    answers = [web.get(path, headers=TOKEN) for path in paths]

    assert [answer.status_code for answer in answers] == [404] * 4
    errors = [answer.json()["meta"]["error"] for answer in answers]
    assert ["errorCode" in error for error in errors] == [True, True, True, False]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 411),
        (b"[]", 400),
        (b'{"nickname": "A"}', 400),
        (b'{"email": 5}', 400),
        (b'{"unsubscribed": "yes"}', 400),
        (b'{"embeddedData": []}', 400),
    ],
)
def test_a_wrong_body_is_refused(web: httpx.Client, body: bytes, status: int) -> None:
    answer = web.post(CONTACTS, content=body, headers=TOKEN)

    assert answer.status_code == status
    assert web.get(CONTACTS, headers=TOKEN).json()["result"]["elements"] == []


@pytest.mark.parametrize(
    ("fault", "status"), [("server_error", 503), ("unauthorized", 401), ("rate_limited", 429)]
)
def test_refusals_are_qualtrics_own(
    web: httpx.Client, sandbox: Sandbox, fault: str, status: int
) -> None:
    """A refused request has no effect; a limit says when to come again."""
    sandbox.fault("qualtrics", fault, retry_after=12)
    answer = web.post(CONTACTS, json=ADA, headers=TOKEN)

    assert answer.status_code == status
    assert answer.json()["meta"]["httpStatus"].startswith(f"{status} - ")
    assert answer.headers.get("Retry-After") == ("12" if status == 429 else None)
    assert web.get(CONTACTS, headers=TOKEN).json()["result"]["elements"] == []
