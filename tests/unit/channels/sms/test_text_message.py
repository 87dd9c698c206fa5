"""Text messages, sent to the sandbox's Twilio; requests and answers are held to its OpenAPI."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
from pydantic import ValidationError

from segue.channels.sms.listed_messages import DIGEST, TAG, digest_of
from segue.channels.sms.text_message import MOST_PAGES, TextMessage
from segue.contracts.channel import Audience, Limit, NoAddress, OptedOut, PartlyFound, Receipt
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message
from segue.sandbox.vendors import twilio_api
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    OTHER_KEY,
    deliver,
    find,
    http,
    variables,
    vendor,
)

API = json.loads((Path(__file__).parents[2] / "data" / "twilio_messages.json").read_text())
PHONE = "+447700900123"
SENDER = "+15005550006"
NOT_SHOWN = "lists no message with the delivery's key"


def text(**fields: object) -> TextMessage:
    base = {"from": SENDER, "text": "Hello {{ contact.first_name }}"}
    given = base | fields
    return TextMessage.model_validate({k: v for k, v in given.items() if v is not None})


def send(channel: TextMessage | None = None, *, key: str = KEY, **contact: object) -> Receipt:
    return deliver(channel or text(), key=key, **{"phone": PHONE, **contact})


def form_in(message: Message) -> dict[str, str]:
    """Return the form of a received request, once it is as Twilio's OpenAPI describes it."""
    assert message.raw["headers"]["content-type"] == API["create"]["content_type"]
    fields = parse_qs(message.raw["body"], keep_blank_values=True, strict_parsing=True)
    form = {name: values[0] for name, values in fields.items()}
    assert all(len(values) == 1 for values in fields.values())
    jsonschema.validate(form, API["create"]["schema"])
    for names in API["create"]["one_of_each"]:
        assert len(form.keys() & set(names)) == 1
    return form


# ---- sending ----------------------------------------------------------------------------------


def test_a_messaging_service_takes_the_place_of_a_sender(sandbox: Sandbox):
    send(text(**{"from": None}, messaging_service=twilio_api.MESSAGING_SERVICE))
    [received] = sandbox.messages(service="twilio")
    form = form_in(received)
    assert form["MessagingServiceSid"] == twilio_api.MESSAGING_SERVICE
    assert "From" not in form


def test_an_api_key_names_its_account_in_the_extra(sandbox: Sandbox, set_connection):
    set_connection(
        "twilio_default",
        conn_type="http",
        host=f"{sandbox.url}/twilio",
        login=twilio_api.API_KEY,
        password=twilio_api.API_SECRET,
        extra={"account_sid": twilio_api.ACCOUNT_SID, "X-Other": "kept"},
    )
    send()
    [received] = sandbox.messages(service="twilio")
    assert "account_sid" not in received.raw["headers"]
    assert received.raw["headers"]["x-other"] == "kept"


@pytest.mark.parametrize("login", ["SK5e90e", "", "ACnope"])
def test_without_an_account_nothing_is_called(sandbox: Sandbox, set_connection, login: str):
    set_connection(
        "twilio_default", conn_type="http", host=sandbox.url, login=login, password="secret-token"
    )
    with pytest.raises(ConnectionFailure, match=r"needs the account's SID \(AC…\)") as raised:
        send()
    assert "secret-token" not in str(raised.value)


def test_more_than_1600_characters_fail_before_the_call(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="text: more than 1600 characters") as raised:
        send(first_name=HOSTILE["ten kilobytes"])
    assert "xxx" not in str(raised.value)
    assert sandbox.messages() == []


@pytest.mark.parametrize("written", ["x" * 1600, "👍" * 800])
def test_1600_characters_fit_and_an_emoji_is_two(sandbox: Sandbox, written: str):
    send(text(text="{{ contact.note }}"), note=written)
    with pytest.raises(ContactFailure, match="1600"):
        send(text(text="{{ contact.note }}"), note=written + "x")
    assert len(sandbox.messages()) == 1


def test_an_empty_text_fails_before_the_call(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="text: the message is empty"):
        send(text(text="{{ contact.note | default(' ') }}"))
    assert sandbox.messages() == []


def test_half_a_surrogate_pair_is_of_the_contact(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="UTF-8 cannot carry"):
        send(first_name="\ud83d")


# ---- to whom ----------------------------------------------------------------------------------


def test_without_to_it_is_for_the_contact():
    assert text().addressed_to is Audience.CONTACT
    assert text(to="{{ contact.mobile }}", audience="contact").addressed_to is Audience.CONTACT


def test_a_plain_number_is_the_teams():
    assert text(to="+44 20 7946 0018").addressed_to is Audience.TEAM
    assert text(to="{{ contact.agent }}", audience="team").addressed_to is Audience.TEAM


@pytest.mark.parametrize("phone", [None, "", "020 7946 0018", "+44 (0)20 7946 0018", "call me"])
def test_a_contact_without_a_number_is_skipped(phone: str | None):
    with pytest.raises(NoAddress) as raised:
        text().render(variables(phone=phone))
    assert "7946" not in str(raised.value)
    assert "call me" not in str(raised.value)


def test_punctuation_in_a_number_is_harmless(sandbox: Sandbox):
    send(phone="+44 (7700) 900-123")
    [received] = sandbox.messages()
    assert received.to == PHONE


def test_a_contact_whose_template_finds_no_number_is_skipped():
    channel = text(to="{{ contact.mobile }}", audience="contact")
    with pytest.raises(NoAddress):
        channel.render(variables(phone=PHONE))


def test_a_number_of_the_teams_that_cannot_be_is_a_failure():
    channel = text(to="{{ contact.agent }}", audience="team")
    with pytest.raises(ContactFailure) as raised:
        channel.render(variables(agent="extension 5"))
    assert not isinstance(raised.value, NoAddress)


def test_two_numbers_are_none():
    with pytest.raises(NoAddress):
        text().render(variables(phone="+447700900123, +447700900124"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to": "{{ contact.mobile }}"}, "'to' is a template; say 'audience: contact' or"),
        ({"audience": "team"}, "without 'to' the contact is addressed"),
        ({"to": SENDER, "audience": "contact"}, "a plain number in 'to' is the team's"),
        ({"to": "020 7946 0018"}, r"found '020 7946 0018'; allowed: a number such as \+1500"),
        ({"from": None}, "found neither of 'from' and 'messaging_service'"),
        ({"messaging_service": "MG" + "0" * 32}, "found both of 'from' and 'messaging_service'"),
        ({"from": None, "messaging_service": "MG1"}, "MG and 32 hexadecimal digits"),
        ({"from": "A name that is long"}, "up to 11 letters and digits"),
        ({"from": "whatsapp:+15005550006"}, "allowed: a number such as"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, object], said: str):
    with pytest.raises(ValidationError, match=said):
        text(**fields)


def test_a_sender_that_a_contact_makes_impossible_is_of_the_contact():
    channel = text(**{"from": "{{ contact.brand }}"})
    with pytest.raises(ContactFailure, match=r"^from: it is not a number such as") as raised:
        channel.render(variables(phone=PHONE, brand="A brand with a long name"))
    assert "brand with" not in str(raised.value)


# ---- what Twilio's answers mean ---------------------------------------------------------------


@pytest.mark.parametrize("number", ["+15005550001", "+15005550009"])
def test_a_number_that_twilio_cannot_write_to_is_skipped(sandbox: Sandbox, number: str):
    with pytest.raises(NoAddress, match=r"Twilio answered 400: error-21(211|614)$") as raised:
        send(phone=number)
    assert number not in str(raised.value)


def test_such_a_number_of_the_teams_is_a_failure(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="error-21211") as raised:
        send(text(to="+15005550001"))
    assert not isinstance(raised.value, NoAddress)


def test_somebody_who_answered_stop_has_opted_out(sandbox: Sandbox):
    with pytest.raises(OptedOut, match="error-21610"):
        send(phone="+15005550004")
    assert sandbox.messages() == []


def test_a_refusal_of_one_number_is_of_the_contact(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^Twilio answered 400: error-21612$") as raised:
        send(phone="+15005550002")
    assert type(raised.value) is not NoAddress


def test_a_sender_that_is_not_the_accounts_stops_the_slice(sandbox: Sandbox):
    with pytest.raises(ConnectionFailure, match="error-21606; check the action's sender"):
        send(text(**{"from": "+15005550007"}))


@pytest.mark.parametrize("code", [21408, 21608])
def test_what_an_account_may_not_do_may_be_of_one_contact_or_of_all(set_connection, code: int):
    """A region without permission; a number that a trial account has not verified."""
    with vendor(http("400 Bad Request", f'{{"code": {code}}}')) as url:
        point_at(set_connection, url)
        with pytest.raises(UnprovenRefusal, match=f"error-{code}; check the account"):
            send()


def test_a_sender_that_a_template_gives_may_be_of_its_contact(sandbox: Sandbox):
    with pytest.raises(UnprovenRefusal, match="error-21606"):
        send(text(**{"from": "{{ contact.brand }}"}), brand="+15005550007")


def test_a_messaging_service_that_does_not_exist_stops_the_slice(sandbox: Sandbox):
    with pytest.raises(ConnectionFailure, match="error-21701"):
        send(text(**{"from": None}, messaging_service="MG" + "0" * 32))


def test_a_full_queue_is_tried_again(sandbox: Sandbox):
    with pytest.raises(TransientFailure, match="error-21611"):
        send(text(**{"from": "+15005550008"}))


@pytest.mark.parametrize("body", ["[]", '{"sid": 7}', '{"sid": ""}', "{}", "null"])
def test_an_answer_that_is_no_message_is_unknown(set_connection, body: str):
    with vendor(http("201 Created", body)) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match="not a message"):
            send()


# ---- limits -----------------------------------------------------------------------------------


def limits(channel: TextMessage, **contact: object) -> list[Limit]:
    with channel.connect() as sender:
        return list(sender.limits(channel.render(variables(**{"phone": PHONE, **contact}))))


def test_each_sender_has_a_limit_of_its_own(sandbox: Sandbox):
    by_brand = text(**{"from": "{{ contact.brand }}"})
    assert limits(text()) == [Limit(f"twilio_default {SENDER}", 1, 1.0)]
    assert limits(by_brand, brand="Shop") == [Limit("twilio_default Shop", 1, 1.0)]
    service = twilio_api.MESSAGING_SERVICE
    channel = text(**{"from": None}, messaging_service=service)
    assert limits(channel) == [Limit(f"twilio_default {service}", 1, 1.0)]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("100/second", [Limit(f"twilio_default {SENDER}", 100, 1.0)]), ("none", [])],
)
def test_the_connections_rate_takes_the_place_of_the_default(
    sandbox: Sandbox, set_connection, rate: str, expected: list[Limit]
):
    point_at(set_connection, f"{sandbox.url}/twilio", segue_rate=rate)
    assert limits(text()) == expected


# ---- asking whether a message is there --------------------------------------------------------


def point_at(set_connection, url: str, **extra: object) -> None:
    set_connection(
        "twilio_default",
        conn_type="http",
        host=url,
        login=twilio_api.ACCOUNT_SID,
        password=twilio_api.AUTH_TOKEN,
        extra={"timeout": 10, **extra},
    )


def sent(key: str = KEY) -> tuple[str, dict[str, str]]:
    return key, {"from": SENDER, "to": PHONE, "text": "Hello Ana"}


def test_it_can_be_asked_and_its_trace_says_nothing_of_the_contact():
    channel = text(to="{{ contact.mobile }}", audience="contact")
    assert channel.can_be_asked
    message = channel.render(variables(mobile=PHONE))
    trace = channel.trace(message)
    assert trace == {"from": SENDER, DIGEST: digest_of(PHONE, "Hello Ana")}
    assert PHONE not in str(trace)
    assert "Ana" not in str(trace)
    service = text(**{"from": None}, messaging_service=twilio_api.MESSAGING_SERVICE)
    assert set(service.trace(service.render(variables(phone=PHONE)))) == {DIGEST}
    to_the_team = text(to=PHONE)
    assert to_the_team.trace(to_the_team.render(variables())) == {"from": SENDER}


def test_a_message_of_a_service_is_found_whoever_sent_it(sandbox: Sandbox):
    channel = text(**{"from": None}, messaging_service=twilio_api.MESSAGING_SERVICE)
    receipt = send(channel)
    message = {"messaging_service": "x", "to": PHONE, "text": "Hello Ana"}
    assert find(channel, (KEY, message)) == {KEY: receipt}


def test_what_is_not_listed_may_be_there_all_the_same(sandbox: Sandbox):
    """One is found and delivered; of the other nobody can tell."""
    receipt = send()
    with pytest.raises(PartlyFound, match=NOT_SHOWN) as raised:
        find(text(), sent(), sent(OTHER_KEY))
    assert raised.value.found == {KEY: receipt}


def test_a_message_in_the_queue_is_found(sandbox: Sandbox):
    """It has no date of sending, and is listed by no question that has one."""
    channel = text(**{"from": "Queue"})
    receipt = send(channel)
    message = {"from": "Queue", "to": PHONE, "text": "Hello Ana"}
    assert find(channel, (KEY, message)) == {KEY: receipt}


def account(*pages: list[dict[str, object]], next_page: str | None = None):
    """Return a script of an account with these pages of messages, and what it was asked."""
    requests: list[dict[str, list[str]]] = []

    def answer(request: str) -> bytes:
        asked = parse_qs(urlsplit(request.split(" ")[1]).query)
        requests.append(asked)
        number = int(asked.get("Page", ["0"])[0])
        uri = (
            f"https://elsewhere.example.com/x?PageSize=1000&Page={number + 1}&PageToken=PA{number}"
        )
        following = next_page or (uri if number + 1 < len(pages) else None)
        page = pages[number] if number < len(pages) else []
        return http("200 OK", json.dumps({"messages": page, "next_page_uri": following}))

    return answer, requests


def listed(
    number: int, tags: object = None, at: str | None = None, **others: object
) -> dict[str, object]:
    moment = at or "Fri, 01 Jan 2100 00:00:00 +0000"
    usual = {"to": PHONE, "body": "Another text", "date_created": moment, "date_sent": None}
    return {"sid": f"SM{number}", "tags": tags, **usual, **others}


def test_pages_are_followed_at_the_connections_own_host(set_connection):
    """next_page_uri may say what it likes: only its query is used."""
    answer, requests = account([listed(1)], [listed(2, {TAG: KEY})])
    with vendor(answer) as url:
        point_at(set_connection, url)
        since = datetime(2026, 11, 22, 0, 2, tzinfo=UTC)
        now = datetime.now(UTC)
        since = since if now - since < timedelta(days=70) else now - timedelta(days=1)
        found = find(text(), sent(), since=since)
    assert found[KEY].external_id == "SM2"
    assert requests[0] == {"PageSize": ["1000"], "From": [SENDER]}
    assert requests[1]["PageToken"] == ["PA0"]


def test_what_is_asked_is_what_the_openapi_allows(set_connection):
    answer, requests = account([listed(1, {TAG: KEY})])
    with vendor(answer) as url:
        point_at(set_connection, url)
        find(text(), sent())
    asked = {name: values[0] for name, values in requests[0].items()}
    parameters = {**asked, "PageSize": int(asked["PageSize"])}
    jsonschema.validate(parameters, API["list"]["parameters"])


def test_a_page_that_ends_before_the_call_is_the_last(set_connection):
    old = listed(2, at="Thu, 01 Jan 2026 00:00:00 +0000")
    answer, requests = account([listed(1), old], [listed(3, {TAG: KEY})])
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match=NOT_SHOWN):
            find(text(), sent())
    assert len(requests) == 1


def test_a_list_without_an_end_is_given_up(set_connection):
    answer, requests = account([listed(1)], next_page="/x?Page=0")
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match=NOT_SHOWN):
            find(text(), sent())
    assert len(requests) == MOST_PAGES


@pytest.mark.parametrize("tags", [None, {}, {"other": KEY}, {TAG: OTHER_KEY}])
def test_what_has_neither_the_tag_nor_the_text_is_not_it(set_connection, tags: object):
    answer, _ = account([listed(1, tags)])
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match="nor with its number and text"):
            find(text(), sent())


@pytest.mark.parametrize("tags", [None, {}])
def test_where_no_tags_are_shown_number_and_text_tell(set_connection, tags: object):
    ours = listed(2, tags, body="Hello Ana")
    others = [listed(1, tags), listed(3, tags, body="Hello Ana", to="+447700900999")]
    answer, _ = account([*others, ours])
    with vendor(answer) as url:
        point_at(set_connection, url)
        assert find(text(), sent())[KEY].external_id == "SM2"


@pytest.mark.parametrize(
    "message",
    [
        listed(1, {TAG: OTHER_KEY}, body="Hello Ana"),
        listed(1, None, at="Thu, 01 Jan 2026 00:00:00 +0000", body="Hello Ana"),
        listed(1, None, body="Hello Ana", date_created=None),
    ],
)
def test_the_same_text_of_another_delivery_is_not_it(set_connection, message):
    """It has another tag, or was made before the call."""
    answer, _ = account([message])
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown):
            find(text(), sent())


def test_one_message_is_of_one_delivery_alone(set_connection):
    answer, _ = account([listed(1, None, body="Hello Ana")])
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(PartlyFound) as raised:
            find(text(), sent(), sent(OTHER_KEY))
    assert len(raised.value.found) == 1


def test_texts_to_a_number_of_the_teams_are_known_by_their_tags_alone(set_connection):
    """Many of one text may go there."""
    answer, _ = account([listed(1, None, body="Hello Ana")])
    with vendor(answer) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown):
            find(text(to=PHONE), sent())


@pytest.mark.parametrize(
    "body",
    [
        '{"messages": [{}], "next_page_uri": null}',
        '{"messages": [{"sid": "SM1", "tags": [1], "date_created": null}], "next_page_uri": null}',
        '{"messages": [{"sid": "SM1", "tags": {}, "date_created": "x"}], "next_page_uri": null}',
        '{"messages": []}',
    ],
)
def test_a_list_of_another_shape_cannot_tell(set_connection, body: str):
    with vendor(http("200 OK", body)) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match="a body that does not tell"):
            find(text(), sent())


def test_a_user_who_may_not_list_leaves_it_uncertain(set_connection):
    with vendor(http("403 Forbidden", '{"code": 20003}')) as url:
        point_at(set_connection, url)
        with pytest.raises(OutcomeUnknown, match="check what its user may list"):
            find(text(), sent())
