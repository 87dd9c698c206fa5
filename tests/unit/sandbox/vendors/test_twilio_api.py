from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jsonschema
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import twilio_api

API = json.loads((Path(__file__).parents[2] / "data" / "twilio_messages.json").read_text())
AUTH = (twilio_api.ACCOUNT_SID, twilio_api.AUTH_TOKEN)
ACCOUNT = f"/twilio/2010-04-01/Accounts/{twilio_api.ACCOUNT_SID}"
MESSAGES = f"{ACCOUNT}/Messages.json"
TO, FROM = "+447700900123", "+15005550006"


def create(web: httpx.Client, **changes: str | None) -> httpx.Response:
    """Ask for a message; a field set to None is left out."""
    fields = {"To": TO, "From": FROM, "Body": "Hello", **changes}
    given = {name: value for name, value in fields.items() if value is not None}
    return web.post(MESSAGES, data=given, auth=AUTH)


def is_a_message(shown: dict[str, object]) -> None:
    """Hold a message against Twilio's OpenAPI."""
    jsonschema.validate(shown, API["message"])


def is_a_list(shown: dict[str, object]) -> None:
    jsonschema.validate(shown, {**API["list"]["schema"], "message": API["message"]})


def test_a_message_is_created_shown_and_kept(web: httpx.Client, sandbox: Sandbox) -> None:
    """201 with the message, queued and not sent yet; it can be read at its address."""
    answer = create(web, Tags='{"campaign": "spring"}')

    assert answer.status_code == 201
    message = answer.json()
    is_a_message(message)
    assert (message["status"], message["date_sent"]) == ("queued", None)
    assert message["tags"] == {"campaign": "spring"}
    later = web.get(f"/twilio{message['uri']}", auth=AUTH).json()
    is_a_message(later)
    assert later["status"] == "sent"
    assert {**later, "status": "queued", "date_sent": None} == message
    [received] = sandbox.messages(service="twilio")
    assert (received.kind, received.to, received.text) == ("text", TO, "Hello")


def test_an_api_key_does_as_well(web: httpx.Client) -> None:
    """Its SID and secret take the place of the account's."""
    key = (twilio_api.API_KEY, twilio_api.API_SECRET)

    assert web.get(MESSAGES, auth=key).status_code == 200


@pytest.mark.parametrize("auth", [("", ""), (twilio_api.ACCOUNT_SID, "wrong"), ("x", "sandbox")])
def test_wrong_credentials_are_401(
    web: httpx.Client, sandbox: Sandbox, auth: tuple[str, str]
) -> None:
    """The documented error, and no message."""
    answer = web.post(MESSAGES, data={"To": TO, "From": FROM, "Body": "x"}, auth=auth)

    assert answer.status_code == 401
    assert answer.json() == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }
    assert sandbox.messages() == []


def test_another_account_is_not_found(web: httpx.Client) -> None:
    """Credentials are good for their account alone."""
    other = f"/twilio/2010-04-01/Accounts/AC{'0' * 32}/Messages.json"

    assert web.get(other, auth=AUTH).json()["code"] == 20404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"From": None}, 21603),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"Body": "👍" * 801}, 21617),
        ({"To": "07700900123"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550002"}, 21612),
        ({"To": "+15005550003"}, 21408),
        ({"To": "+15005550004"}, 21610),
        ({"To": "+15005550009"}, 21614),
        ({"From": "+15005550001"}, 21212),
        ({"From": "A name too long for it"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"Tags": "spring"}, 20001),
        ({"Tags": '["spring"]'}, 20001),
        ({"Tags": '{"campaign": "spring sale"}'}, 20001),
        ({"Tags": '{"campaign": 7}'}, 20001),
        ({"Tags": json.dumps({"campaign": "x" * 257})}, 20001),
        ({"Tags": json.dumps({f"t{n}": "x" for n in range(11)})}, 20001),
    ],
)
def test_wrong_messages_are_400_with_twilios_code(
    web: httpx.Client, sandbox: Sandbox, changes: dict[str, str | None], code: int
) -> None:
    """Nothing is sent, and the error says where to read about it."""
    answer = create(web, **changes)

    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.json()["code"] == code
    assert answer.json()["more_info"].endswith(str(code))
    assert sandbox.messages() == []


def test_only_forms_are_read(web: httpx.Client) -> None:
    """JSON holds no parameters, so the first is missing."""
    answer = web.post(MESSAGES, json={"To": TO, "From": FROM, "Body": "x"}, auth=AUTH)

    assert answer.json()["code"] == 21604


def test_a_messaging_service_chooses_the_sender(web: httpx.Client) -> None:
    """The message is accepted, without a sender or segments as yet."""
    answer = create(web, From=None, MessagingServiceSid=twilio_api.MESSAGING_SERVICE)
    missing = create(web, From=None, MessagingServiceSid="MG" + "0" * 32)

    is_a_message(answer.json())
    assert (answer.json()["status"], answer.json()["from"]) == ("accepted", None)
    assert answer.json()["num_segments"] == "0"
    assert (missing.status_code, missing.json()["code"]) == (404, 21701)


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        *((one * 160, "1") for one in "xé"),
        *((one * 161, "2") for one in "xé"),
        *((one * 80, "1") for one in "€{"),
        *((one * 81, "2") for one in "€{"),
        *((one * 70, "1") for one in "ç`"),
        *((one * 71, "2") for one in "ç`"),
        ("👍" * 36, "2"),
    ],
)
def test_long_bodies_have_segments(web: httpx.Client, body: str, segments: str) -> None:
    """Fewer characters fit as soon as one is outside of GSM-7; some in it count for two."""
    assert create(web, Body=body).json()["num_segments"] == segments


def test_a_repeat_is_a_second_message(web: httpx.Client, sandbox: Sandbox) -> None:
    """Twilio has no idempotency, whatever the headers say."""
    for _ in range(2):
        web.post(
            MESSAGES,
            data={"To": TO, "From": FROM, "Body": "x"},
            headers={"Idempotency-Key": "k1"},
            auth=AUTH,
        )

    assert len(sandbox.messages(service="twilio")) == 2


def test_lists_are_newest_first_and_filtered(web: httpx.Client) -> None:
    """To= and From= select; what is listed has its tags."""
    create(web, Body="one", Tags='{"n": "1"}')
    create(web, Body="two", From="Shop")
    create(web, Body="three", To="+447700900124")

    def bodies(**params: str) -> list[str]:
        answer = web.get(MESSAGES, params=params, auth=AUTH).json()
        is_a_list(answer)
        return [message["body"] for message in answer["messages"]]

    assert bodies() == ["three", "two", "one"]
    assert bodies(To=TO) == ["two", "one"]
    assert bodies(From="Shop") == ["two"]
    [message] = web.get(MESSAGES, params={"To": TO, "From": FROM}, auth=AUTH).json()["messages"]
    assert message["tags"] == {"n": "1"}


def test_lists_are_filtered_by_the_day_of_sending() -> None:
    """A date alone, before and after it; days are of GMT, and both ends count."""
    now = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    with (
        Sandbox(clock=lambda: now) as sandbox,
        httpx.Client(base_url=sandbox.url) as web,
    ):
        create(web)
        now += timedelta(hours=1)
        create(web)

        def count(name: str, day: str) -> int:
            answer = web.get(MESSAGES, params={name: day}, auth=AUTH)
            return len(answer.json()["messages"])

        assert [count("DateSent", f"2026-11-{day}") for day in (21, 22, 23)] == [0, 1, 1]
        assert [count("DateSent>", f"2026-11-{day}") for day in (22, 23, 24)] == [2, 1, 0]
        assert [count("DateSent<", f"2026-11-{day}") for day in (21, 22, 23)] == [0, 1, 2]
        assert count("DateSent>", "Mon, 23 Nov 2026 00:00:00 -0000") == 1
        wrong = web.get(MESSAGES, params={"DateSent>": "yesterday"}, auth=AUTH)
        assert wrong.status_code == 400


def test_what_is_in_the_queue_has_no_date_and_no_filter_finds_it(web: httpx.Client) -> None:
    """A name that begins with Queue never gets its turn."""
    create(web, From="Queue")

    [message] = web.get(MESSAGES, auth=AUTH).json()["messages"]
    assert (message["status"], message["date_sent"]) == ("queued", None)
    dated = web.get(MESSAGES, params={"DateSent>": "2000-01-01"}, auth=AUTH).json()
    assert dated["messages"] == []


def test_lists_have_pages(web: httpx.Client) -> None:
    """next_page_uri leads to the rest, filters and all, and is null on the last page."""
    for number in range(5):
        create(web, Body=str(number))
    uri, bodies = f"/2010-04-01/Accounts/{AUTH[0]}/Messages.json?PageSize=2&From=%2B15005550006", []
    pages = []
    while uri:
        answer = web.get(f"/twilio{uri}", auth=AUTH).json()
        is_a_list(answer)
        bodies += [message["body"] for message in answer["messages"]]
        pages.append(answer["page"])
        create(web, Body="meanwhile", From="Shop")
        uri = answer["next_page_uri"]

    assert bodies == ["4", "3", "2", "1", "0"]
    assert pages == [0, 1, 2]


def test_a_page_is_not_moved_by_what_is_sent_meanwhile(web: httpx.Client) -> None:
    """The token says where to go on, not how many were shown."""
    for number in range(3):
        create(web, Body=str(number))
    first = web.get(MESSAGES, params={"PageSize": 2}, auth=AUTH).json()
    create(web, Body="meanwhile")
    second = web.get(f"/twilio{first['next_page_uri']}", auth=AUTH).json()

    assert [message["body"] for message in second["messages"]] == ["0"]


@pytest.mark.parametrize("params", [{"PageSize": "0"}, {"PageSize": "many"}, {"Page": "-1"}])
def test_pages_that_cannot_be_are_refused(web: httpx.Client, params: dict[str, str]) -> None:
    assert web.get(MESSAGES, params=params, auth=AUTH).status_code == 400


def test_unknown_messages_are_404(web: httpx.Client) -> None:
    answer = web.get(f"{ACCOUNT}/Messages/SM{'0' * 32}.json", auth=AUTH)

    assert (answer.status_code, answer.json()["code"]) == (404, 20404)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("server_error", 503, 20503), ("unauthorized", 401, 20003), ("rate_limited", 429, 20429)],
)
def test_refusals_are_twilios_own(
    web: httpx.Client, sandbox: Sandbox, fault: str, status: int, code: int
) -> None:
    """A refused request has no effect; a limit says when to come again."""
    sandbox.fault("twilio", fault, retry_after=12)
    answer = create(web)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == ("12" if status == 429 else None)
    assert sandbox.messages() == []


def test_the_inbox_shows_a_text(web: httpx.Client, sandbox: Sandbox) -> None:
    create(web, Body="Hello <b>there</b>")
    [received] = sandbox.messages()
    page = web.get(f"/messages/{received.id}").text

    assert "Text messages" in page
    assert "Hello &lt;b&gt;there&lt;/b&gt;" in page
    assert twilio_api.AUTH_TOKEN not in json.dumps(received.raw)
