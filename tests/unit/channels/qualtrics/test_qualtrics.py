"""Qualtrics: invitations, links, contacts and tickets, over HTTP against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from segue.channels.qualtrics.calls import open_qualtrics, qualtrics_limits
from segue.channels.qualtrics.contact import QualtricsContact
from segue.channels.qualtrics.survey_invitation import SurveyInvitation
from segue.channels.qualtrics.survey_link import SurveyLink
from segue.channels.qualtrics.ticket import QualtricsTicket
from segue.contracts.channel import Audience, Channel, NoAddress, OptedOut, PartlyFound, Tried
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import DIRECTORY, EVENT, MAILING_LIST, TOKEN, USER_ID
from tests.unit.channels.support import KEY, OTHER_KEY, deliver, find, http, variables, vendor

SURVEY = "SV_5e90e5e90e5e90e"
PLACE = {"directory": DIRECTORY, "mailing_list": MAILING_LIST}
LINK = "${l://SurveyURL}"


def mail(**fields: object) -> SurveyInvitation:
    base = {**PLACE, "survey": SURVEY, "from": "a@example.com", "subject": "Hello", "html": LINK}
    return SurveyInvitation.model_validate(base | fields)


def sms(**fields: object) -> SurveyInvitation:
    base = {**PLACE, "by": "sms", "survey": SURVEY, "text": LINK}
    return SurveyInvitation.model_validate(base | fields)


def link(**fields: object) -> SurveyLink:
    return SurveyLink.model_validate({**PLACE, "survey": SURVEY} | fields)


def update(**fields: object) -> QualtricsContact:
    return QualtricsContact.model_validate({"directory": DIRECTORY, "first_name": "A"} | fields)


def ticket(**fields: object) -> QualtricsTicket:
    base = {"event": EVENT, "name": "Call {{ contact.contact_id }}"}
    return QualtricsTicket.model_validate(base | fields)


EVERY = [mail, sms, link, update, ticket]


def completed(channel: Channel, key: str = KEY, **contact: Any) -> tuple[str, Mapping[str, Any]]:
    """Return a delivery as the door asks for it: rendered, and complete."""
    message: Mapping[str, Any] = channel.render(variables(**contact))
    with channel.connect() as sender:
        return key, sender.complete(message) if sender.lacks(message) else message


def bodies(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(one.raw["body"]) for one in sandbox.messages(service="qualtrics")]


# ---- The connection ---------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["/qualtrics", "/qualtrics/", "/qualtrics/API/v3"])
def test_the_host_is_that_of_the_data_centre_with_or_without_the_api(sandbox, set_connection, host):
    set_connection("qualtrics_default", conn_type="http", host=sandbox.url + host, password=TOKEN)
    deliver(ticket())
    deliver(update())
    assert len(sandbox.messages(service="qualtrics")) == 2


def test_a_connection_without_a_token_is_refused_before_anything_is_sent(sandbox, set_connection):
    set_connection("qualtrics_default", conn_type="http", host=f"{sandbox.url}/qualtrics")
    with pytest.raises(ConnectionFailure, match="needs an API token of Qualtrics"):
        open_qualtrics("qualtrics_default")


def test_oauth_stands_in_the_extra(sandbox: Sandbox, set_connection):
    set_connection(
        "qualtrics_default",
        conn_type="http",
        host=f"{sandbox.url}/qualtrics",
        extra={"Authorization": "Bearer sandbox"},
    )
    deliver(update())
    assert len(sandbox.messages(service="qualtrics")) == 1


def test_the_token_is_kept_nowhere_in_the_sandbox(sandbox: Sandbox):
    deliver(update())
    [received] = sandbox.messages(service="qualtrics")
    assert received.raw["headers"]["x-api-token"] == "(removed)"


@pytest.mark.parametrize("channel", EVERY)
def test_checking_the_connection_says_whose_the_token_is(sandbox, channel):
    with channel().connect() as sender:
        finding = sender.check(frozenset())
    assert (finding.tried, finding.detail) == (Tried.OK, f"the user {USER_ID}")
    assert sandbox.messages(service="qualtrics") == []


def test_a_call_has_the_brands_limit_and_its_own(sandbox: Sandbox, set_connection):
    limits = {(one.scope, one.count, one.seconds) for one in qualtrics_limits("qualtrics_default")}
    assert limits == {("qualtrics_default", 3000, 60.0)}
    own = [(one.scope, one.count) for one in qualtrics_limits("qualtrics_default", sms=1000)]
    assert own == [("qualtrics_default", 3000), ("qualtrics_default sms", 1000)]
    set_connection(
        "qualtrics_default", conn_type="http", host="https://h", extra={"segue_rate": "none"}
    )
    assert list(qualtrics_limits("qualtrics_default", sms=1000)) == []


# ---- Invitations ------------------------------------------------------------------------------


def test_an_invitation_by_email_is_a_distribution_to_one_contact(sandbox: Sandbox):
    before = datetime.now(UTC)
    receipt = deliver(
        mail(
            html="<p>{{ contact.first_name }}, {{ contact.email }}</p>" + LINK,
            subject="How was it, {{ contact.first_name }}?",
            from_name="Care",
            embedded_data={"tier": "{{ contact.first_name }}", "calls": 5},
            expires="14d",
        ),
        first_name="Zoë & co",
    )
    [body] = bodies(sandbox)
    ends = datetime.fromisoformat(body["surveyLink"].pop("expirationDate"))
    sends = datetime.fromisoformat(body.pop("sendDate"))
    assert timedelta(seconds=-1) <= sends - before < timedelta(seconds=30)
    assert ends - sends == timedelta(days=14)
    assert body == {
        "message": {"messageText": f"<p>Zoë &amp; co, ana@example.com</p>{LINK}"},
        "recipients": {"mailingListId": MAILING_LIST, "contactId": "CGC_c-1"},
        "header": {
            "fromEmail": "a@example.com",
            "fromName": "Care",
            "replyToEmail": "a@example.com",
            "subject": "How was it, Zoë & co?",
        },
        "surveyLink": {"surveyId": SURVEY, "type": "Individual"},
        "embeddedData": {"tier": "Zoë & co", "calls": "5", "segue_delivery": KEY},
    }
    assert receipt.external_id == receipt.results["id"]
    assert receipt.external_id.startswith("EMD_")


@pytest.mark.parametrize("written", [mail, sms])
def test_a_message_of_a_library_is_named(sandbox: Sandbox, written):
    none = {"html": None, "text": None}
    deliver(written(message={"library": "UR_1", "id": "MS_1"}, **none))
    assert bodies(sandbox)[0]["message"] == {"libraryId": "UR_1", "messageId": "MS_1"}


def test_the_contact_is_the_one_that_a_template_names(sandbox: Sandbox):
    deliver(mail(contact="{{ contact.xm_id }}"), xm_id="xm-7")
    assert bodies(sandbox)[0]["recipients"]["contactId"] == "CGC_xm-7"


@pytest.mark.parametrize("written", [mail, sms])
def test_a_contact_without_an_address_in_qualtrics_is_skipped(sandbox: Sandbox, written):
    with pytest.raises(NoAddress):
        deliver(written(), contact_id="silent-1")
    assert sandbox.messages(service="qualtrics") == []


@pytest.mark.parametrize("written", [mail, sms])
def test_a_contact_whom_qualtrics_knows_to_be_opted_out_is_skipped(sandbox: Sandbox, written):
    """Even where the snapshot does not know it yet."""
    with pytest.raises(OptedOut):
        deliver(written(), contact_id="leaver-1")
    assert sandbox.messages(service="qualtrics") == []


def test_a_contact_who_left_the_list_alone_is_opted_out_of_its_invitations(set_connection):
    membership = {MAILING_LIST: {"contactLookupId": "CGC_1", "unsubscribed": True}}
    answer = {"result": {"email": "a@example.com", "mailingListMembership": membership}}
    with vendor(http("200 OK", json.dumps(answer))) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        with pytest.raises(OptedOut):
            deliver(mail())


@pytest.mark.parametrize(
    ("contact_id", "said"),
    [
        ("missing-1", "Qualtrics answered 404: GET_CONTACT_NOT_FOUND"),
        ("unlisted-1", f"the contact is not in the mailing list {MAILING_LIST}"),
    ],
)
def test_a_contact_that_is_not_in_the_list_fails_alone(sandbox, contact_id, said):
    with pytest.raises((ContactFailure, UnprovenRefusal)) as raised:
        deliver(mail(), contact_id=contact_id)
    assert getattr(raised.value, "answer", str(raised.value)) == said


def test_to_look_a_contact_up_changes_nothing_so_that_a_lost_answer_is_no_doubt(sandbox: Sandbox):
    sandbox.fault("qualtrics", "reset", method="GET")
    with pytest.raises(TransientFailure, match="nothing was changed by asking"):
        deliver(mail())


@pytest.mark.parametrize(
    ("status", "expected"),
    [("403 Forbidden", UnprovenRefusal), ("401 Unauthorized", ConnectionFailure)],
)
def test_who_may_not_read_contacts_may_be_of_the_connection(set_connection, status, expected):
    with vendor(http(status, "{}")) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        with pytest.raises(expected):
            deliver(mail())


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (mail, {"html": "{{ contact.first_name }} " + LINK}),
        (mail, {"subject": "Hello {{ contact.first_name }}"}),
        (sms, {"text": "{{ contact.first_name }} " + LINK}),
    ],
)
def test_a_contact_writes_no_piped_text(sandbox: Sandbox, written, field):
    """Qualtrics would put another field, or a link to anywhere, in its place."""
    deliver(written(**field))
    with pytest.raises(ContactFailure, match=r"has \$\{ in it, which Qualtrics replaces"):
        deliver(written(**field), first_name="${e://Field/secret}")
    assert len(sandbox.messages(service="qualtrics")) == 1


def test_embedded_data_has_up_to_1024_characters(sandbox: Sandbox):
    told = mail(embedded_data={"note": "{{ contact.first_name }}"})
    deliver(told, first_name="x" * 1024)
    with pytest.raises(ContactFailure, match=r"embedded_data\.note: over 1024 characters"):
        deliver(told, first_name="x" * 1025)


@pytest.mark.parametrize(
    ("written", "fields", "said"),
    [
        (mail, {"html": None}, "found neither of 'message' and 'html'"),
        (mail, {"message": {"library": "UR_1", "id": "MS_1"}}, "found both of"),
        (mail, {"text": "x"}, "an invitation by email has none"),
        (mail, {"subject": None}, "is needed in an invitation by email"),
        (mail, {"from": None}, "is needed in an invitation by email"),
        (sms, {"text": None}, "found neither of 'message' and 'text'"),
        (sms, {"subject": "x"}, "an invitation by sms has none"),
        (sms, {"from": "x"}, "an invitation by sms has none"),
        (sms, {"embedded_data": {"a": "b"}}, "an invitation by sms has none"),
        (mail, {"embedded_data": {"segue_delivery": "x"}}, "is Segue's own"),
        (mail, {"embedded_data": {str(n): "x" for n in range(10)}}, "up to 9"),
        (mail, {"embedded_data": {"x" * 201: "x"}}, "up to 200 characters"),
        (mail, {"survey": "5e90"}, "SV_"),
        (mail, {"directory": "5e90/../x"}, "POOL_"),
        (mail, {"mailing_list": "5e90"}, "CG_"),
        (mail, {"message": {"library": "1", "id": "MS_1"}, "html": None}, "UR"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(written, fields, said):
    with pytest.raises(ValidationError, match=said):
        written(**fields)


@pytest.mark.parametrize("written", [mail, sms])
def test_an_invitation_is_for_the_contact(written):
    """So that consent and quiet hours bind."""
    assert written().addressed_to is Audience.CONTACT


@pytest.mark.parametrize("written", [mail, sms])
def test_an_invitation_is_found_again_by_its_key(sandbox: Sandbox, written):
    receipt = deliver(written())
    deliver(written(), key="00" * 32)
    ours, other = completed(written()), completed(written(), OTHER_KEY)
    assert find(written(), ours, other) == {KEY: receipt}


@pytest.mark.parametrize("written", [mail, sms])
def test_an_invitation_on_a_further_page_is_found(sandbox, written, monkeypatch):
    monkeypatch.setattr("segue.channels.qualtrics.survey_invitation.PAGE_SIZE", 1)
    for number in range(2):
        deliver(written(), key=f"{number:064x}")
    receipt = deliver(written())
    assert find(written(), completed(written())) == {KEY: receipt}


@pytest.mark.parametrize("written", [mail, sms])
def test_a_list_that_has_no_end_cannot_tell(sandbox, written, monkeypatch):
    monkeypatch.setattr("segue.channels.qualtrics.survey_invitation.PAGE_SIZE", 1)
    monkeypatch.setattr("segue.channels.qualtrics.calls.MOST_PAGES", 1)
    deliver(written(), key=OTHER_KEY)
    deliver(written(), key=OTHER_KEY)
    with pytest.raises(PartlyFound, match="not all looked through"):
        find(written(), completed(written()))


def test_a_distribution_that_shows_no_embedded_data_cannot_tell(sandbox: Sandbox):
    """Nobody has proved that creating takes them; then nothing is sent twice for it."""
    deliver(mail(), key=OTHER_KEY)
    for one in sandbox.store.values("qualtrics.distributions"):
        with sandbox.store.transaction() as transaction:
            transaction.put("qualtrics.distributions", one["id"], one | {"embeddedData": None})
    with pytest.raises(PartlyFound, match="shows no embedded data") as raised:
        find(mail(), completed(mail()))
    assert raised.value.found == {}


def test_invitations_of_before_the_call_and_of_others_are_not_looked_at(sandbox: Sandbox):
    deliver(mail(), contact_id="other")
    for one in sandbox.store.values("qualtrics.distributions"):
        with sandbox.store.transaction() as transaction:
            transaction.put("qualtrics.distributions", one["id"], one | {"embeddedData": None})
    assert find(mail(), completed(mail())) == {}
    deliver(mail(), key=OTHER_KEY)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert find(mail(), completed(mail()), since=later) == {}


def test_the_ledger_keeps_ids_of_an_invitation_and_no_address(sandbox: Sandbox):
    _, message = completed(mail(subject="Hello {{ contact.first_name }}"))
    assert mail().trace(message) == {
        "by": "email",
        "survey": SURVEY,
        "mailing_list": MAILING_LIST,
        "member": "CGC_c-1",
    }


# ---- Links ------------------------------------------------------------------------------------


def requests_of(script: Mapping[str, str]) -> Callable[[str], bytes]:
    """Return a vendor that answers by the first line of a request."""

    def answer(request: str) -> bytes:
        line = request.partition("\r\n")[0]
        return next(http("200 OK", body) for part, body in script.items() if part in line)

    return answer


def test_a_link_is_made_for_a_transaction_of_the_contact(sandbox: Sandbox):
    receipt = deliver(link(expires="14d"))
    [body] = bodies(sandbox)
    told = body["segue"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told.pop("transactionDate"))
    assert told == {
        "contactId": "c-1",
        "mailingListId": MAILING_LIST,
        "data": {"segue_delivery": KEY, "surveyId": SURVEY},
    }
    [made] = sandbox.store.values("qualtrics.distributions")
    [theirs] = made["links"]
    assert (receipt.url, receipt.results) == (
        theirs["link"],
        {"id": receipt.external_id, "url": theirs["link"]},
    )
    assert theirs["transactionId"] == receipt.external_id
    ends = datetime.fromisoformat(theirs["linkExpiration"]).replace(tzinfo=UTC)
    lasts = ends - datetime.now(UTC)
    assert timedelta(days=13, hours=23) < lasts <= timedelta(days=14)


@pytest.mark.parametrize("path", ["transactionbatches", "distributions", "links"])
def test_a_link_that_stops_half_way_is_made_by_the_look_up(sandbox: Sandbox, path):
    """Its transaction is there, and is not made again."""
    sandbox.fault("qualtrics", "server_error", path=path)
    with pytest.raises(OutcomeUnknown, match="the link's transaction is made"):
        deliver(link())
    found = find(link(), completed(link()), completed(link(), OTHER_KEY))
    [transaction] = sandbox.store.values("qualtrics.transactions")
    assert set(found) == {KEY}
    assert found[KEY].external_id == transaction["transactionId"]
    assert found[KEY].url


def test_a_link_to_a_survey_that_is_closed_fails_alone(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="Qualtrics answered 400: INVALID_survey"):
        deliver(link(survey="SV_closed"))


def test_a_link_that_can_no_longer_be_made_is_left_to_a_person(sandbox: Sandbox):
    with pytest.raises(ContactFailure):
        deliver(link(survey="SV_closed"))
    with pytest.raises(OutcomeUnknown, match="INVALID_survey"):
        find(link(survey="SV_closed"), completed(link(survey="SV_closed")))


@pytest.mark.parametrize("contact_id", ["missing-1", "unlisted-1"])
def test_a_contact_that_gets_no_transaction_fails_alone(sandbox: Sandbox, contact_id):
    with pytest.raises(ContactFailure, match="makes no transaction for the contact: CONTACT_NOT"):
        deliver(link(), contact_id=contact_id)


def test_the_transaction_of_a_link_is_found_on_a_further_page(sandbox, monkeypatch):
    monkeypatch.setattr("segue.channels.qualtrics.survey_link.PAGE_SIZE", 1)
    deliver(link(), key=OTHER_KEY)
    receipt = deliver(link())
    assert find(link(), completed(link())) == {KEY: receipt}


def test_a_batch_with_more_than_one_link_makes_no_sense(set_connection):
    """The other could be somebody else's."""
    script = {
        "/transactions": '{"result": {"createdTransactions": {"segue": {"id": "CTR_1"}}}}',
        "/links": '{"result": {"elements": [{"link": "a"}, {"link": "b"}]}}',
        "POST": '{"result": {"id": "X_1"}}',
    }
    with vendor(requests_of(script)) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        with pytest.raises(OutcomeUnknown, match="with a body that does not tell"):
            deliver(link())


# ---- Contacts ---------------------------------------------------------------------------------


def test_an_update_has_what_is_written_and_nothing_else(sandbox: Sandbox):
    receipt = deliver(
        update(
            last_name="",
            external_reference="{{ contact.contact_id }}",
            unsubscribed=False,
            embedded_data={"note": "{{ contact.email }}", "calls": 5, "open": True},
        )
    )
    [received] = sandbox.messages(service="qualtrics")
    assert (received.raw["method"], received.to) == ("PUT", "c-1")
    assert json.loads(received.raw["body"]) == {
        "firstName": "A",
        "lastName": "",
        "extRef": "c-1",
        "unsubscribed": False,
        "embeddedData": {"note": "ana@example.com", "calls": "5", "open": "true"},
    }
    assert receipt.external_id == "c-1"


def test_a_contacts_id_is_one_segment_of_the_path(sandbox: Sandbox):
    with pytest.raises(UnprovenRefusal, match="404"):
        deliver(update(), contact_id="missing-?x=#%")
    with pytest.raises(ContactFailure, match="contact: an id is needed"):
        deliver(update(contact="{{ contact.first_name }}"), first_name=" ")


@pytest.mark.parametrize("contact_id", [".", "..", "a/../b", "a/b"])
def test_a_contacts_id_leads_nowhere_else(sandbox: Sandbox, contact_id):
    with pytest.raises(ContactFailure, match="contact: an id of XM Directory"):
        deliver(update(), contact_id=contact_id)


def test_a_value_that_qualtrics_refuses_fails_alone_without_the_value(sandbox: Sandbox):
    with pytest.raises(ContactFailure) as raised:
        deliver(update(email="{{ contact.email }}"), email="nobody at all")
    assert str(raised.value) == "Qualtrics answered 400: QVAL_1"


@pytest.mark.parametrize(
    "fields",
    [
        {"first_name": "{{ contact.first_name }}"},
        {"phone": "+447700900123"},
        {"external_reference": "7"},
        {"unsubscribed": True},
        {"unsubscribed": False},
        {"last_name": ""},
        {"embedded_data": {"calls": 5, "note": "{{ contact.first_name }}"}},
    ],
)
def test_a_contact_that_has_the_values_is_done_and_one_that_has_not_is_not(sandbox, fields):
    told = update(**{"first_name": "{{ contact.first_name }}", **fields})
    assert find(told, completed(told)) == {}
    receipt = deliver(told)
    assert find(told, completed(told)) == {KEY: receipt}
    assert find(told, completed(told, first_name="Zoë")) == {}


def test_other_answers_name_the_fields_otherwise(set_connection):
    told = update(phone="+447700900123", external_reference="7", unsubscribed=True)
    shown = {"firstName": "A", "phoneNumber": "+447700900123", "externalDataReference": "7"}
    answer = http("200 OK", json.dumps({"result": {**shown, "unsubscribed": True}}))
    with vendor(answer) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        assert set(find(told, completed(told))) == {KEY}


def test_a_contact_that_is_gone_cannot_be_told(sandbox: Sandbox):
    with pytest.raises(OutcomeUnknown, match="does not show the contact"):
        find(update(), completed(update(), contact_id="missing-1"))


def test_the_ledger_keeps_names_and_a_digest_of_an_update_and_no_value():
    told = update(email="{{ contact.email }}", embedded_data={"note": "{{ contact.email }}"})
    _, message = KEY, told.render(variables())
    trace = told.trace(message)
    assert json.loads(trace["names"]) == {
        "fields": ["email", "embeddedData", "firstName"],
        "data": ["note"],
    }
    assert "ana@" not in json.dumps(trace)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"first_name": None}, "nothing to update; allowed: first_name"),
        ({"embedded_data": {"": "x"}}, "up to 200 characters"),
        ({"directory": "../x"}, "POOL_"),
        ({"unsubscribed": "yes"}, "unsubscribed"),
    ],
)
def test_an_update_that_cannot_be_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        update(**fields)


# ---- Tickets ----------------------------------------------------------------------------------


def test_an_event_that_is_not_there_fails_no_contact(sandbox: Sandbox):
    with pytest.raises(UnprovenRefusal, match="EVENT_NOT_FOUND; check the connection"):
        deliver(ticket(event="other"))


def test_an_event_that_is_too_large_is_not_sent(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="larger than the 100000 bytes"):
        deliver(ticket(comment="{{ contact.first_name }}"), first_name="é" * 20_000)
    assert sandbox.messages(service="qualtrics") == []


@pytest.mark.parametrize("body", ['{"meta": {"httpStatus": "202 - Accepted"}}', "{}", "[]", "ok"])
def test_an_answer_that_is_not_that_of_an_event_leaves_it_open(set_connection, body):
    with vendor(http("200 OK", body)) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        with pytest.raises(OutcomeUnknown):
            deliver(ticket())


def test_a_ticket_is_found_by_its_data_and_one_that_is_not_may_still_come(sandbox: Sandbox):
    receipt = deliver(ticket())
    assert find(ticket(), completed(ticket())) == {KEY: receipt}
    with pytest.raises(PartlyFound, match="the workflow may not have run yet") as raised:
        find(ticket(), completed(ticket()), completed(ticket(), OTHER_KEY))
    assert raised.value.found == {KEY: receipt}


def test_a_brand_without_tickets_cannot_tell(set_connection):
    body = '{"meta": {"error": {"errorCode": "TIK_1.1"}}}'
    with vendor(http("403 Forbidden", body)) as url:
        set_connection("qualtrics_default", conn_type="http", host=url, password="x")
        with pytest.raises(OutcomeUnknown, match=r"403: TIK_1\.1"):
            find(ticket(), completed(ticket()))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"event": "a&b=c"}, "event"),
        ({"data": {"segue_delivery": "x"}}, "is Segue's own"),
        ({"name": None}, "name"),
    ],
)
def test_a_ticket_that_cannot_be_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        ticket(**fields)


@pytest.mark.parametrize(
    "field",
    [
        {"html": "You owe ${{ contact.first_name }} " + LINK},
        {"html": "{% if contact.vip is defined %}${l://X}{% endif %}{{ contact.last_name }}"},
        {"from_name": "{{ contact.last_name }}"},
        {"reply_to": "{{ contact.last_name }}"},
        {"from": "{{ contact.last_name }}"},
        {"html": "${e://Field/{{ contact.email }}}"},
        {"subject": "{{ contact.phone }}{{ contact.first_name }}"},
        {"embedded_data": {"a": "{{ contact.last_name }}"}},
    ],
)
def test_no_piped_text_is_formed_of_parts(field):
    values = {"first_name": "{e://Field/ssn}", "last_name": "${e://Field/ssn}", "phone": "$"}
    with pytest.raises(ContactFailure, match=r"has \$\{ in it, which Qualtrics replaces"):
        mail(**field).render(variables(**values, email="ssn"))
    mail(html="You owe ${{ contact.x }}, {x} " + LINK).render(variables(x="5.00"))
