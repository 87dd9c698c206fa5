from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import slack_api

BEARER = {"Authorization": f"Bearer {slack_api.TOKEN}"}
METADATA = {"event_type": "segue_delivery", "event_payload": {"key": "abc"}}
WEBHOOK = f"/slack/services/{slack_api.WEBHOOK}"


def post(web: httpx.Client, **arguments: Any) -> dict[str, Any]:
    """Post a message as JSON and return the answer."""
    answer = web.post("/slack/api/chat.postMessage", json=arguments, headers=BEARER)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def test_a_posted_message_is_answered_with_channel_and_ts_and_kept(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """A message by channel name gets the channel's id and a ts, and is received once."""
    answer = post(web, channel="#escalations", text="CID_1 is at risk", metadata=METADATA)

    assert answer["ok"] is True
    assert answer["channel"] == slack_api.channel_id("escalations")
    [message] = sandbox.messages(service="slack")
    assert (message.to, message.text) == ("#escalations", "CID_1 is at risk")
    assert message.fields["ts"] == answer["ts"]
    assert message.fields["metadata"] == METADATA


def test_forms_carry_structures_as_json_text(web: httpx.Client, sandbox: Sandbox) -> None:
    """A URL-encoded request with blocks and metadata as JSON is the same message."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "Look"}}]
    form = {"channel": "alerts", "blocks": json.dumps(blocks), "metadata": json.dumps(METADATA)}

    answer = web.post("/slack/api/chat.postMessage", data=form, headers=BEARER)

    assert answer.json()["ok"] is True
    [message] = sandbox.messages(service="slack")
    assert message.text == "Look"
    assert message.fields["blocks"] == blocks


def test_two_messages_never_share_a_ts() -> None:
    """A ts identifies a message in its channel, also when both come at the same instant."""
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    with Sandbox(clock=lambda: now) as sandbox, httpx.Client(base_url=sandbox.url) as web:
        stamps = [post(web, channel="general", text="again")["ts"] for _ in range(3)]

    assert stamps == ["1795327200.000000", "1795327200.000001", "1795327200.000002"]


@pytest.mark.parametrize(
    ("headers", "error"),
    [({}, "not_authed"), ({"Authorization": "Bearer xoxb-other"}, "invalid_auth")],
)
def test_wrong_tokens_are_answered_with_200_and_an_error(
    web: httpx.Client, sandbox: Sandbox, headers: dict[str, str], error: str
) -> None:
    """Slack refuses a token with HTTP 200 and ok: false, and nothing is received."""
    arguments = {"channel": "general", "text": "hello"}
    answer = web.post("/slack/api/chat.postMessage", json=arguments, headers=headers)

    assert (answer.status_code, answer.json()) == (200, {"ok": False, "error": error})
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "no channel"}, "invalid_arguments"),
        ({"channel": "missing-team", "text": "x"}, "channel_not_found"),
        ({"channel": "Not A Name", "text": "x"}, "channel_not_found"),
        ({"channel": "C0NEVERSEEN", "text": "x"}, "channel_not_found"),
        ({"channel": "archived-2019", "text": "x"}, "is_archived"),
        ({"channel": "private-board", "text": "x"}, "not_in_channel"),
        ({"channel": "general"}, "no_text"),
        ({"channel": "general", "text": "  "}, "no_text"),
        ({"channel": "general", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "general", "blocks": "not json"}, "invalid_blocks_format"),
        ({"channel": "general", "blocks": [{"type": "banner"}]}, "invalid_blocks"),
        ({"channel": "general", "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
        ({"channel": "general", "text": "x", "attachments": "{"}, "invalid_attachments"),
    ],
)
def test_wrong_messages_are_refused_by_name(
    web: httpx.Client, sandbox: Sandbox, arguments: dict[str, Any], error: str
) -> None:
    """Each mistake has its documented error, and nothing is received."""
    answer = post(web, **arguments)

    assert (answer["ok"], answer["error"]) == (False, error)
    assert sandbox.messages() == []


def test_a_block_that_is_too_long_is_named_by_its_position(web: httpx.Client) -> None:
    """Invalid blocks come with a pointer to what is wrong."""
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}

    answer = post(web, channel="general", blocks=[block])

    assert answer["errors"] == [
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"{", "application/json", "invalid_json"),
        (b"[1]", "application/json", "json_not_object"),
        (b"x", "text/plain", "invalid_post_type"),
    ],
)
def test_unreadable_bodies_are_refused(
    web: httpx.Client, body: bytes, content_type: str, error: str
) -> None:
    """A body that is neither a form nor a JSON object is an error of its own."""
    headers = {**BEARER, "Content-Type": content_type}
    answer = web.post("/slack/api/chat.postMessage", content=body, headers=headers)

    assert answer.json() == {"ok": False, "error": error}


def test_history_shows_metadata_only_when_asked(web: httpx.Client) -> None:
    """Looking a delivery up needs include_all_metadata; newest messages come first."""
    channel = post(web, channel="general", text="first", metadata=METADATA)["channel"]
    post(web, channel=channel, text="second")
    post(web, channel="alerts", text="elsewhere")
    url = "/slack/api/conversations.history"

    plain = web.get(url, params={"channel": channel}, headers=BEARER).json()
    full = web.post(
        url, data={"channel": channel, "include_all_metadata": "true"}, headers=BEARER
    ).json()

    assert [message["text"] for message in plain["messages"]] == ["second", "first"]
    assert "metadata" not in plain["messages"][1]
    assert full["messages"][1]["metadata"] == METADATA


def test_history_pages_and_keeps_to_its_times(web: httpx.Client) -> None:
    """A cursor leads from page to page, and oldest excludes the message of that very ts."""
    stamps = [post(web, channel="general", text=str(number))["ts"] for number in range(3)]
    url, channel = "/slack/api/conversations.history", slack_api.channel_id("general")

    first = web.get(url, params={"channel": channel, "limit": 2}, headers=BEARER).json()
    cursor = first["response_metadata"]["next_cursor"]
    last = web.get(url, params={"channel": channel, "cursor": cursor}, headers=BEARER).json()
    later = web.get(url, params={"channel": channel, "oldest": stamps[1]}, headers=BEARER).json()

    assert [message["text"] for message in first["messages"]] == ["2", "1"]
    assert (first["has_more"], last["has_more"]) == (True, False)
    assert [message["text"] for message in last["messages"]] == ["0"]
    assert [message["text"] for message in later["messages"]] == ["2"]


def test_history_wants_a_channels_id(web: httpx.Client) -> None:
    """A channel's name, or an id nobody has seen, is not found."""
    for channel in ("general", "C0NEVERSEEN"):
        answer = web.get(
            "/slack/api/conversations.history", params={"channel": channel}, headers=BEARER
        )
        assert answer.json() == {"ok": False, "error": "channel_not_found"}


def test_a_channel_is_listed_once_it_was_posted_to(web: httpx.Client) -> None:
    """The list holds the default channels and those with messages, each once."""
    post(web, channel="#customer-success", text="hello")
    post(web, channel="#general", text="hello")

    answer = web.get("/slack/api/conversations.list", headers=BEARER).json()

    names = [channel["name"] for channel in answer["channels"]]
    assert names == [*slack_api.CHANNELS, "customer-success"]


def test_lists_hold_the_types_that_are_asked_for(web: httpx.Client) -> None:
    """Public channels are the default, there are no private ones, and other words are refused."""
    url = "/slack/api/conversations.list"

    def listed(types: str) -> dict[str, Any]:
        body: dict[str, Any] = web.get(url, params={"types": types}, headers=BEARER).json()
        return body

    both = listed("public_channel,private_channel")["channels"]
    assert [channel["name"] for channel in both] == [*slack_api.CHANNELS]
    assert listed("private_channel")["channels"] == []
    assert listed("secret_channel")["error"] == "invalid_types"


def test_a_channel_the_app_has_not_joined_takes_messages_and_shows_none(web: httpx.Client) -> None:
    """chat:write.public allows posting; the history is for members."""
    channel = post(web, channel="#public-lobby", text="hello")["channel"]

    history = web.get(
        "/slack/api/conversations.history", params={"channel": channel}, headers=BEARER
    )

    assert history.json() == {"ok": False, "error": "not_in_channel"}


@pytest.mark.parametrize(
    "method",
    ["conversations.list", "conversations.history", "conversations.open", "users.lookupByEmail"],
)
def test_a_token_that_may_only_post_lacks_every_other_scope(web: httpx.Client, method: str) -> None:
    """Posting works with chat:write alone, and a refusal names the scopes."""
    headers = {"Authorization": f"Bearer {slack_api.TOKEN_TO_POST}"}
    arguments = {"channel": "general", "text": "hello"}

    posted = web.post("/slack/api/chat.postMessage", json=arguments, headers=headers).json()
    answer = web.get(f"/slack/api/{method}", headers=headers).json()

    assert posted["ok"] is True
    assert (answer["error"], answer["provided"]) == ("missing_scope", "chat:write")
    assert answer["needed"] == slack_api.SCOPES[method]


def test_a_person_is_found_by_address_and_can_be_written_to(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """A user's id opens direct messages; an address that begins with missing- has no user."""
    lookup = "/slack/api/users.lookupByEmail"
    found = web.get(lookup, params={"email": "ada@example.com"}, headers=BEARER).json()
    missing = web.get(lookup, params={"email": "missing-ada@example.com"}, headers=BEARER).json()

    answer = post(web, channel=found["user"]["id"], text="hello")

    assert answer["channel"].startswith("D")
    assert missing == {"ok": False, "error": "users_not_found"}
    assert len(sandbox.messages()) == 1


def call(web: httpx.Client, method: str, token: str = slack_api.TOKEN, **arguments: Any) -> Any:
    """Call a method with a form and return the answer."""
    headers = {"Authorization": f"Bearer {token}"}
    return web.post(f"/slack/api/{method}", data=arguments, headers=headers).json()


def test_the_same_person_always_has_the_same_direct_messages(web: httpx.Client) -> None:
    """They are opened by id, posted to by either id, and their history shows what came."""
    ada = slack_api.user_id("ada@example.com")
    opened = call(web, "conversations.open", users=ada)
    again = call(web, "conversations.open", users=ada, return_im="true")
    posted = [
        post(web, channel=channel, text="hello") for channel in (ada, opened["channel"]["id"])
    ]

    assert opened == {"ok": True, "channel": {"id": opened["channel"]["id"]}}
    assert opened["channel"]["id"].startswith("D")
    assert (again["no_op"], again["already_open"]) == (True, True)
    assert again["channel"]["user"] == ada
    assert [answer["channel"] for answer in posted] == [opened["channel"]["id"]] * 2
    history = call(web, "conversations.history", channel=opened["channel"]["id"])
    assert [message["text"] for message in history["messages"]] == ["hello", "hello"]


def test_several_people_share_direct_messages_of_their_own(web: httpx.Client) -> None:
    """In any order, eight at most."""
    one, other, many = (
        call(web, "conversations.open", users=users)
        for users in ("U01,U02", "U02, U01", ",".join(f"U0{number}" for number in range(9)))
    )

    assert one == other
    assert one["channel"]["id"].startswith("G")
    assert many["error"] == "too_many_users"
    resumed = call(web, "conversations.open", channel=one["channel"]["id"])
    assert resumed["channel"] == one["channel"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "users_list_not_supplied"),
        ({"users": "ada@example.com"}, "user_not_found"),
        ({"users": "UMISSING1"}, "user_not_found"),
        ({"channel": slack_api.channel_id("general")}, "method_not_supported_for_channel_type"),
        ({"channel": "D0NEVERSEEN"}, "channel_not_found"),
    ],
)
def test_direct_messages_with_nobody_are_refused(
    web: httpx.Client, arguments: dict[str, str], error: str
) -> None:
    """Each mistake has its documented error."""
    assert call(web, "conversations.open", **arguments) == {"ok": False, "error": error}


def test_direct_messages_are_listed_where_they_are_asked_for(web: httpx.Client) -> None:
    """Once opened or posted to; they have a person in place of a name."""
    opened = call(web, "conversations.open", users="U01")["channel"]["id"]
    post(web, channel="W0123456789", text="hello")

    listed = call(web, "conversations.list", types="im")["channels"]

    assert {channel["user"] for channel in listed} == {"U01", "W0123456789"}
    assert opened in {channel["id"] for channel in listed}
    channels = call(web, "conversations.list")["channels"]
    assert [channel["name"] for channel in channels] == [*slack_api.CHANNELS]


def test_nobody_is_written_to_whose_id_does_not_exist(web: httpx.Client, sandbox: Sandbox) -> None:
    """chat.postMessage calls a person it does not know a channel."""
    assert post(web, channel="UMISSING01", text="hello")["error"] == "channel_not_found"
    assert sandbox.messages() == []


def test_direct_messages_are_read_with_a_scope_of_their_own(web: httpx.Client) -> None:
    """im:history, where channels have channels:history."""
    channel = post(web, channel="U0123456789", text="hello")["channel"]
    answer = call(web, "conversations.history", slack_api.TOKEN_TO_POST, channel=channel)
    assert answer["needed"] == "im:history"


def text(kind: str, said: str, **more: object) -> dict[str, object]:
    return {"type": kind, "text": said, **more}


PLAIN = text("plain_text", "a")
LONG = "x" * 3_001


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"type": "section"}, "missing required field: text [json-pointer:/blocks/0/text]"),
        (
            {"type": "section", "text": "a"},
            "missing required field: text [json-pointer:/blocks/0/text]",
        ),
        (
            {"type": "section", "text": text("mrkdwn", "a", emoji=True)},
            "invalid additional property: emoji [json-pointer:/blocks/0/text]",
        ),
        (
            {"type": "section", "fields": [PLAIN] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
        ),
        (
            {"type": "section", "fields": [text("mrkdwn", LONG)]},
            "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
        ),
        (
            {"type": "header", "text": text("mrkdwn", "a")},
            "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]",
        ),
        (
            {"type": "header", "text": text("plain_text", LONG)},
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "header", "text": text("plain_text", "")},
            "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "context", "elements": []},
            "must provide at least 1 item [json-pointer:/blocks/0/elements]",
        ),
        (
            {"type": "context", "elements": [PLAIN] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (
            {"type": "actions", "elements": [{"type": "button", "text": text("mrkdwn", "a")}]},
            "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/text/type]",
        ),
        (
            {
                "type": "section",
                "text": PLAIN,
                "accessory": {"type": "button", "text": PLAIN, "url": "javascript:1"},
            },
            "invalid url [json-pointer:/blocks/0/accessory/url]",
        ),
        (
            {"type": "image", "image_url": "https://example.com/a.png"},
            "missing required field: alt_text [json-pointer:/blocks/0/alt_text]",
        ),
        (
            {"type": "markdown", "text": "x" * 12_001},
            "must be less than 12001 characters [json-pointer:/blocks/0/text]",
        ),
        (
            {"type": "divider", "block_id": "x" * 256},
            "must be less than 256 characters [json-pointer:/blocks/0/block_id]",
        ),
    ],
)
def test_a_wrong_block_is_refused_with_what_is_wrong(
    web: httpx.Client, sandbox: Sandbox, block: dict[str, object], problem: str
) -> None:
    """The limits of Block Kit's reference, with a pointer to the place."""
    answer = post(web, channel="general", text="x", blocks=[block])
    assert (answer["error"], answer["errors"]) == ("invalid_blocks", [problem])
    assert sandbox.messages() == []


def test_a_message_has_fifty_blocks_at_most(web: httpx.Client) -> None:
    """The fifty-first is refused, for all of them."""
    blocks = [{"type": "divider"}] * 51
    assert post(web, channel="general", text="x", blocks=blocks[:50])["ok"] is True
    answer = post(web, channel="general", text="x", blocks=blocks)
    assert answer["errors"] == ["no more than 50 items allowed [json-pointer:/blocks]"]


def test_auth_test_names_the_bot_and_unknown_methods_are_errors(web: httpx.Client) -> None:
    """The connection test works with the token, and a wrong method is not a 404."""
    assert web.post("/slack/api/auth.test", headers=BEARER).json()["bot_id"] == slack_api.BOT_ID
    answer = web.post("/slack/api/chat.shout", headers=BEARER)
    assert (answer.status_code, answer.json()["error"]) == (200, "unknown_method")


@pytest.mark.parametrize(
    ("token", "scopes"),
    [(slack_api.TOKEN, "users:read.email"), (slack_api.TOKEN_TO_POST, "chat:write"), ("x", None)],
)
@pytest.mark.parametrize("method", ["auth.test", "conversations.list", "no.such"])
def test_every_answer_tells_the_scopes_of_its_token(
    web: httpx.Client, token: str, scopes: str | None, method: str
) -> None:
    """In X-OAuth-Scopes, refusals too; of a token that is none nothing is told."""
    answer = web.post(f"/slack/api/{method}", headers={"Authorization": f"Bearer {token}"})

    told = answer.headers.get("X-OAuth-Scopes")
    assert (told.split(",")[-1] if told else told) == scopes


def test_rate_limits_are_429_with_retry_after(web: httpx.Client, sandbox: Sandbox) -> None:
    """The fault refuses once with Retry-After; the next request goes through."""
    sandbox.fault("slack", "rate_limited", retry_after=7)
    arguments = {"channel": "general", "text": "hello"}

    refused = web.post("/slack/api/chat.postMessage", json=arguments, headers=BEARER)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert refused.json() == {"ok": False, "error": "ratelimited"}
    assert post(web, **arguments)["ok"] is True
    assert len(sandbox.messages()) == 1


def test_the_token_is_kept_nowhere(web: httpx.Client, sandbox: Sandbox) -> None:
    """Neither the Authorization header nor the token argument reaches the inbox."""
    post(web, channel="general", text="by header")
    form = {"channel": "general", "text": "by argument", "token": slack_api.TOKEN}
    assert web.post("/slack/api/chat.postMessage", data=form).json()["ok"] is True

    assert len(sandbox.messages()) == 2
    assert sandbox.messages(contains=slack_api.TOKEN) == []


def test_a_webhook_answers_ok_in_plain_text(web: httpx.Client, sandbox: Sandbox) -> None:
    """A JSON body and a form with a payload are both taken."""
    answers = [
        web.post(WEBHOOK, json={"text": "one"}),
        web.post(WEBHOOK, data={"payload": json.dumps({"text": "two"})}),
    ]

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "ok")] * 2
    assert [message.text for message in sandbox.messages(kind="webhook_message")] == ["one", "two"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        (slack_api.WEBHOOK, b"{", 400, "invalid_payload"),
        (slack_api.WEBHOOK, b"{}", 400, "no_text"),
        ("T00000000/B00000000/wrong", b'{"text": "x"}', 403, "invalid_token"),
        ("T00000000/B99999999/sandbox", b'{"text": "x"}', 404, "no_service"),
        ("T99999999/B00000000/sandbox", b'{"text": "x"}', 404, "no_team"),
        ("T00000000/B0ARCHIVED/sandbox", b'{"text": "x"}', 410, "channel_is_archived"),
        ("T00000000/B0DELETED/sandbox", b'{"text": "x"}', 404, "channel_not_found"),
        ("T00000000/B0PROHIBITED/sandbox", b'{"text": "x"}', 403, "action_prohibited"),
        (slack_api.WEBHOOK, b'{"text": "x", "blocks": [{}]}', 400, "invalid_blocks"),
    ],
)
def test_a_webhook_refuses_in_plain_text(
    web: httpx.Client, sandbox: Sandbox, path: str, body: bytes, status: int, text: str
) -> None:
    """Each mistake has its status and its word, and nothing is received."""
    headers = {"Content-Type": "application/json"}
    answer = web.post(f"/slack/services/{path}", content=body, headers=headers)

    assert (answer.status_code, answer.text) == (status, text)
    assert sandbox.messages() == []


def test_a_webhook_refuses_in_plain_text_on_purpose_too(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """A webhook's limit has a Retry-After as the Web API's has, and no JSON."""
    sandbox.fault("slack", "rate_limited", retry_after=7)
    sandbox.fault("slack", "server_error")
    sandbox.fault("slack", "unauthorized")

    limited, unwell, wrong = (web.post(WEBHOOK, json={"text": "x"}) for _ in range(3))

    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert limited.text == "rate_limited"
    assert (unwell.status_code, unwell.text) == (503, "service_unavailable")
    assert (wrong.status_code, wrong.text) == (403, "invalid_token")
    assert sandbox.messages() == []
