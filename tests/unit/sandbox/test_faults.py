from __future__ import annotations

import json
import time

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import freshdesk_api, http_api, slack_api, zendesk_api
from tests.unit.channels.support import PATIENCE, messages_of

BEARER = {"Authorization": f"Bearer {slack_api.TOKEN}"}
POST_MESSAGE = "/slack/api/chat.postMessage"
ZENDESK = (f"{zendesk_api.EMAIL_ADDRESS}/token", zendesk_api.API_TOKEN)
FRESHDESK = (freshdesk_api.API_KEY, "X")


def post(web: httpx.Client, text: str = "hello", timeout: float = PATIENCE) -> httpx.Response:
    arguments = {"channel": "general", "text": text}
    return web.post(POST_MESSAGE, json=arguments, headers=BEARER, timeout=timeout)


def test_faults_are_asked_for_listed_and_dropped_over_http(web: httpx.Client) -> None:
    """POST queues, GET tells what is left, DELETE drops."""
    asked = web.post(
        "/sandbox/faults", json={"service": "slack", "fault": "rate_limited", "times": 2}
    )
    post(web)
    left = web.get("/sandbox/faults").json()
    dropped = web.delete("/sandbox/faults")

    assert (asked.status_code, asked.json()["total_entries"]) == (201, 1)
    assert left["items"][0]["times"] == 1
    assert dropped.status_code == 204
    assert post(web).json()["ok"] is True


@pytest.mark.parametrize(
    "fault",
    [
        {"service": "fax", "fault": "reset"},
        {"service": "slack", "fault": "explosion"},
        {"service": "slack", "fault": "reset", "times": 0},
        {"service": "slack", "fault": "reset", "tims": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    web: httpx.Client, fault: dict[str, object]
) -> None:
    """A mistake in a test's fault does not pass as no fault."""
    assert web.post("/sandbox/faults", json=fault).status_code == 422
    assert web.get("/sandbox/faults").json()["total_entries"] == 0


def test_a_fault_waits_for_its_text_and_its_service(web: httpx.Client, sandbox: Sandbox) -> None:
    """Only requests whose body holds the text are hit, however the body is encoded."""
    sandbox.fault("slack", "server_error", match="two words")
    sandbox.fault("zendesk", "server_error")

    assert post(web, "other").status_code == 200
    form = {"channel": "general", "text": "just two words"}
    assert web.post(POST_MESSAGE, data=form, headers=BEARER).status_code == 503
    assert post(web, "two words").status_code == 200


def test_a_fault_can_wait_for_a_path(web: httpx.Client, sandbox: Sandbox) -> None:
    """One method of a vendor fails while the others work."""
    sandbox.fault("slack", "server_error", path="chat.postMessage")

    assert web.post("/slack/api/auth.test", headers=BEARER).json()["ok"] is True
    assert post(web).status_code == 503


def test_a_fault_can_wait_for_a_method(web: httpx.Client, sandbox: Sandbox) -> None:
    """A list fails while what it lists can be created at the same path."""
    sandbox.fault("http", "server_error", path="/notes", method="GET")
    headers = {"Authorization": f"Bearer {http_api.TOKEN}"}

    assert web.post("/http/notes", json={}, headers=headers).status_code == 201
    assert web.get("/http/notes", headers=headers).status_code == 503
    assert web.get("/http/notes", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("service", "fault", "status"),
    [
        ("slack", "server_error", 503),
        ("slack", "unauthorized", 200),
        ("zendesk", "server_error", 503),
        ("zendesk", "unauthorized", 401),
        ("freshdesk", "server_error", 503),
        ("freshdesk", "unauthorized", 401),
        *((name, "forbidden", 403) for name in ("slack", "zendesk", "freshdesk")),  # a firewall's
    ],
)
def test_refusals_are_the_vendors_own(
    web: httpx.Client, sandbox: Sandbox, service: str, fault: str, status: int
) -> None:
    """A refused request has the vendor's status and no effect, with right credentials too."""
    sandbox.fault(service, fault)
    answers = {
        "slack": lambda: post(web),
        "zendesk": lambda: web.post(
            "/zendesk/api/v2/tickets", json={"ticket": {"comment": {"body": "x"}}}, auth=ZENDESK
        ),
        "freshdesk": lambda: web.post(
            "/freshdesk/api/v2/tickets",
            json={"subject": "x", "description": "x", "email": "ada@example.com"},
            auth=FRESHDESK,
        ),
    }

    assert answers[service]().status_code == status
    assert sandbox.messages() == []


def test_a_time_out_after_effect_has_its_effect(web: httpx.Client, sandbox: Sandbox) -> None:
    """The client gives up, the message is there, and was there before the delay."""
    sandbox.fault("slack", "time_out_after_effect", delay=3600)

    with pytest.raises(httpx.ReadTimeout):
        post(web, timeout=0.3)

    assert len(messages_of(sandbox, "slack")) == 1


def test_a_late_answer_comes_to_those_who_wait(web: httpx.Client, sandbox: Sandbox) -> None:
    """After the delay the answer is the usual one."""
    sandbox.fault("slack", "time_out_after_effect", delay=0.2)
    started = time.monotonic()

    assert post(web).json()["ok"] is True
    assert time.monotonic() - started >= 0.2


def test_a_bad_gateway_after_effect_has_its_effect(web: httpx.Client, sandbox: Sandbox) -> None:
    """The proxy's 502 hides the ticket that was made; a question gets its answer."""
    sandbox.fault("zendesk", "bad_gateway_after_effect")
    url = "/zendesk/api/v2/tickets.json"
    auth = ("agent@example.com/token", "sandbox")
    assert web.get(url, auth=auth).status_code == 200
    answer = web.post(url, json={"ticket": {"comment": {"body": "x"}}}, auth=auth)
    assert (answer.status_code, "502 Bad Gateway" in answer.text) == (502, True)
    assert len(sandbox.messages()) == 1


def test_a_repeat_after_a_lost_answer_is_a_hit(web: httpx.Client, sandbox: Sandbox) -> None:
    """Zendesk's idempotency key makes the retry harmless: one ticket, the same answer."""
    sandbox.fault("zendesk", "reset_after_effect")
    ticket = {"ticket": {"comment": {"body": "x"}}}
    headers = {"Idempotency-Key": "k1"}

    with pytest.raises(httpx.ReadError):
        web.post("/zendesk/api/v2/tickets", json=ticket, headers=headers, auth=ZENDESK)
    again = web.post("/zendesk/api/v2/tickets", json=ticket, headers=headers, auth=ZENDESK)

    assert again.headers["x-idempotency-lookup"] == "hit"
    assert len(sandbox.messages(service="zendesk")) == 1


def test_a_reset_breaks_the_connection_before_any_effect(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """The client sees a reset, and nothing was received."""
    sandbox.fault("slack", "reset")

    with pytest.raises(httpx.ReadError):
        post(web)

    assert sandbox.messages() == []
    assert post(web).json()["ok"] is True


def test_faults_after_effect_wait_for_a_request_with_an_effect(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """A look-up by GET does not use up a fault that is meant for the post."""
    sandbox.fault("slack", "reset_after_effect")

    assert web.get("/slack/api/conversations.list", headers=BEARER).json()["ok"] is True
    with pytest.raises(httpx.ReadError):
        post(web)


def test_a_sandbox_stops_at_once_while_an_answer_is_late() -> None:
    """Stopping does not wait for a delay on purpose, which is longer than a test may take."""
    with Sandbox() as sandbox, httpx.Client(base_url=sandbox.url) as web:
        sandbox.fault("slack", "time_out_after_effect", delay=3600)
        with pytest.raises(httpx.ReadTimeout):
            post(web, timeout=0.2)
        assert len(messages_of(sandbox, "slack")) == 1


def test_a_reset_mid_answer_has_its_effect_and_half_an_answer(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """The headers and the first half arrive, then the connection breaks; the message is there."""
    sandbox.fault("slack", "reset_mid_answer")
    request = web.build_request(
        "POST", POST_MESSAGE, json={"channel": "general", "text": "hello"}, headers=BEARER
    )
    answer = web.send(request, stream=True)
    received = b""

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        for chunk in answer.iter_raw():
            received += chunk

    assert answer.status_code == 200
    assert received.startswith(b'{"ok": true')
    assert len(received) < int(answer.headers["Content-Length"])
    assert len(sandbox.messages(service="slack")) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_malformed_answer_is_whole_and_not_json(
    web: httpx.Client, sandbox: Sandbox, method: str
) -> None:
    """The vendor's own status, a length that is right, and JSON that is cut; look-ups too."""
    sandbox.fault("zendesk", "malformed_answer")
    body = {"ticket": {"comment": {"body": "x"}}} if method == "POST" else None

    answer = web.request(method, "/zendesk/api/v2/tickets", json=body, auth=ZENDESK)

    assert answer.status_code == (201 if method == "POST" else 200)
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(sandbox.messages()) == (1 if method == "POST" else 0)


@pytest.mark.parametrize("fault", ["reset_mid_answer", "malformed_answer"])
def test_mail_has_no_answers_to_spoil(web: httpx.Client, fault: str) -> None:
    """A fault that SMTP cannot have is refused."""
    asked = web.post("/sandbox/faults", json={"service": "smtp", "fault": fault})

    assert asked.status_code == 422
