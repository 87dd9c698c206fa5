"""What goes over the wire is as Qualtrics' published collection and schemas have it.

tests/unit/data/qualtrics_distributions.json says where they are from. No description of the whole
API is published, so that requests are held against the examples: the same fields, of the same form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft7Validator

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import DIRECTORY, MAILING_LIST, TOKEN
from tests.unit.channels.qualtrics.test_qualtrics import LINK, SURVEY, link, mail, sms
from tests.unit.channels.support import deliver, http, vendor

DATA = json.loads((Path(__file__).parents[2] / "data/qualtrics_distributions.json").read_text())
EXAMPLES, SCHEMAS = DATA["examples"], DATA["schemas"]
IN_LIBRARY = {"message": {"library": "UR_1", "id": "MS_1"}, "html": None, "text": None}


def get(sandbox: Sandbox, path: str, **query: str) -> dict[str, Any]:
    answer = requests.get(
        f"{sandbox.url}/qualtrics/API/v3{path}",
        params=query,
        headers={"X-API-TOKEN": TOKEN},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def form_of(value: object) -> object:
    """Return the form of a value: digits of a date, the first letters of an id."""
    if isinstance(value, Mapping):
        return {name: form_of(item) for name, item in value.items()}
    if isinstance(value, str) and re.match(r"\d{4}-", value):
        return re.sub(r"\d", "0", value)
    if isinstance(value, str) and re.match(r"[A-Z]+_", value):
        return value.partition("_")[0]
    return type(value).__name__


def sent(sandbox: Sandbox) -> dict[str, Any]:
    [received] = sandbox.messages(service="qualtrics")
    found: dict[str, Any] = json.loads(received.raw["body"])
    return found


def test_an_invitation_by_email_has_the_form_of_the_example(sandbox: Sandbox):
    """To one contact, which the page says, and with embedded data, which reading it shows."""
    deliver(mail(**IN_LIBRARY, from_name="Care"))
    body = sent(sandbox)
    assert form_of(body.pop("embeddedData")) == {"segue_delivery": "str"}
    assert form_of(body["recipients"].pop("contactId")) == "CGC"
    assert form_of(body) == form_of(EXAMPLES["create distribution, request"])


def test_an_invitation_by_sms_has_the_form_of_the_example(sandbox: Sandbox):
    deliver(sms(**IN_LIBRARY))
    body = sent(sandbox)
    assert form_of(body["recipients"].pop("contactId")) == "CGC"
    assert form_of(body) == form_of(EXAMPLES["create SMS distribution, request"])


def test_a_transaction_has_the_form_of_the_example(sandbox: Sandbox):
    created = requests.post(
        f"{sandbox.url}/qualtrics/API/v3/directories/{DIRECTORY}/contacts",
        json={"email": "a@example.com"},
        headers={"X-API-TOKEN": TOKEN},
        timeout=60,
    )
    deliver(link(), contact_id=created.json()["result"]["id"])
    told = {
        name: value for name, value in EXAMPLES["transaction"].items() if name != "transactionId"
    }
    told["data"] = {"segue_delivery": "0" * 64, "surveyId": "SV_1"}
    assert form_of(sent(sandbox)["segue"]) == form_of(told)


def test_links_are_asked_for_as_the_schema_and_the_example_have_it(set_connection):
    asked: list[str] = []

    def answer(request: str) -> bytes:
        asked.append(request)
        made = {"id": "X_1", "createdTransactions": {"segue": {"id": "CTR_1"}}}
        return http("200 OK", json.dumps({"result": made}))

    with vendor(answer) as url, pytest.raises(Exception, match="does not tell"):
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        deliver(link())
    [made] = [one for one in asked if one.startswith("POST /API/v3/distributions ")]
    body = json.loads(made.partition("\r\n\r\n")[2])
    Draft7Validator(SCHEMAS["CreateDistributionLinks"]).validate(body)
    assert form_of(body.pop("transactionBatchId")) == "X"
    assert set(body) == set(EXAMPLES["generate links, request"])
    example = SCHEMAS["CreateDistributionLinks"]["properties"]["expirationDate"]["example"]
    assert form_of(body["expirationDate"]) == form_of(example)


def test_the_look_alikes_lists_are_as_the_schemas_have_them(sandbox: Sandbox):
    deliver(mail())
    deliver(link())
    listed = get(sandbox, "/distributions", surveyId=SURVEY)
    Draft7Validator(SCHEMAS["DistributionsResponse"]).validate(listed)
    kinds = [one["requestType"] for one in listed["result"]["elements"]]
    assert kinds == ["Invite", "GeneratedInvite"]
    generated = listed["result"]["elements"][1]["id"]
    links = get(sandbox, f"/distributions/{generated}/links", surveyId=SURVEY)
    Draft7Validator(SCHEMAS["RetrieveDistributionLinksResponse"]).validate(links)
    assert len(links["result"]["elements"]) == 1


def test_the_look_alikes_distributions_have_the_fields_of_the_examples(sandbox: Sandbox):
    number = deliver(mail(from_name="Care")).external_id
    shown = get(sandbox, f"/distributions/{number}", surveyId=SURVEY)["result"]
    assert shown.keys() - {"customHeaders"} == EXAMPLES["get distribution, result"].keys()
    for part in ("headers", "recipients", "message", "surveyLink", "stats"):
        assert shown[part].keys() == EXAMPLES["get distribution, result"][part].keys(), part
    assert shown["message"]["messageText"] == LINK
    [listed] = get(sandbox, "/distributions", surveyId=SURVEY)["result"]["elements"]
    assert "messageText" not in listed["message"]


def test_the_look_alikes_sms_distributions_have_the_fields_of_the_example(sandbox: Sandbox):
    deliver(sms())
    [shown] = get(sandbox, "/distributions/sms", surveyId=SURVEY)["result"]["elements"]
    example = EXAMPLES["create SMS distribution, result"]
    assert shown.keys() == example.keys()
    for part in ("recipients", "message", "stats"):
        assert shown[part].keys() == example[part].keys(), part
    assert shown["recipients"]["mailingListId"] == MAILING_LIST
