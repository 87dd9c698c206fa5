"""A look-alike of Slack's Web API and of its incoming webhooks.

Follows these public pages:
    https://docs.slack.dev/reference/methods/chat.postMessage
    https://docs.slack.dev/reference/methods/auth.test
    https://docs.slack.dev/reference/methods/conversations.list
    https://docs.slack.dev/reference/methods/conversations.history
    https://docs.slack.dev/reference/methods/conversations.open
    https://docs.slack.dev/reference/methods/users.lookupByEmail
    https://docs.slack.dev/reference/objects/conversation-object
    https://docs.slack.dev/reference/block-kit (slack_blocks.py beside this module has the limits)
    https://docs.slack.dev/apis/web-api (form or JSON, ``ok: false`` with HTTP 200)
    https://docs.slack.dev/apis/web-api/rate-limits (429, Retry-After)
    https://docs.slack.dev/legacy/legacy-authentication/legacy-oauth-scopes (X-OAuth-Scopes, of the
    token, with every answer)
    https://docs.slack.dev/messaging/message-metadata
    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks

There is no directory of channels and people to keep in step with a demo. Any well-formed channel
name, e-mail address and person's id exists, except by convention: a channel or address that begins
with ``missing-`` does not exist, nor a person whose id begins with ``UMISSING``, a channel that
begins with ``archived-`` is archived, and into one that begins with ``private-`` the app was not
invited; one that begins with ``public-`` takes messages of an app that has not joined it, but shows
it no history. A channel id is known once its name was posted to, or is one of CHANNELS; direct
messages once they were opened or posted to. All channels are public: a list of private ones is
empty.

The token ``xoxb-sandbox-post-only`` has no scope but chat:write, and is good for nothing else.
Beside WEBHOOK, the webhooks of FAILING_WEBHOOKS are there, whose channel takes nothing.

Left out: rate limits of its own (ask for a fault), other combinations of scopes, renaming, threads'
replies, files, editing and deleting messages, conversations.open with ``prevent_creation``, whose
answer is not documented. Text over 40,000 characters is refused (msg_too_long), where Slack
truncates: in a test, a message that lost its end should not look delivered.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse, Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Message, Store, Transaction
from segue.sandbox.vendor_api import Call, VendorApi
from segue.sandbox.vendors.slack_blocks import block_problems
from segue.sandbox.wire import EMAIL, ReceivedRequest, bearer_token, json_answer

SERVICE = "slack"
TOKEN = "xoxb-sandbox"
TOKEN_TO_POST = "xoxb-sandbox-post-only"
WEBHOOK = "T00000000/B00000000/sandbox"  # what follows /services/ in a webhook's URL
CHANNELS = ("general", "alerts", "escalations")
FAILING_WEBHOOKS = {  # by the part between the team and the token: status and error
    "B0ARCHIVED": (410, "channel_is_archived"),
    "B0DELETED": (404, "channel_not_found"),
    "B0PROHIBITED": (403, "action_prohibited"),
}

TEAM_ID, BOT_ID, BOT_USER_ID = "T00000000", "B00000000", "U00000000"
MAX_TEXT, MAX_ATTACHMENTS, MAX_PEOPLE = 40_000, 100, 8
PAGE_SIZE = 100  # of a list, where nobody gives a limit
CREATED = 1_700_000_000  # when everything here was made, in seconds since 1970

TYPES = ("public_channel", "private_channel", "mpim", "im")
_CHANNEL_NAME = re.compile(r"#?([a-z0-9][a-z0-9_-]{0,79})")
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")

Arguments = dict[str, Any]
Method = Callable[[Call, Arguments], Document]


class SlackError(Exception):
    """An answer with ``ok: false``."""

    def __init__(self, error: str, **more: object) -> None:
        self.answer = {"ok": False, "error": error, **more}
        super().__init__(error)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A channel, or the direct messages with one person or several."""

    id: str
    name: str  # a person's id behind an @, several ids behind a comma each

    @property
    def is_joined(self) -> bool:
        """Whether the app is a member, and may read."""
        return not self.name.startswith("#public-")

    @property
    def kind(self) -> str:
        """One of TYPES."""
        return {"C": "public_channel", "G": "mpim", "D": "im"}[self.id[0]]


class _SlackApi(VendorApi):
    """Methods answer in JSON, webhooks in plain text."""

    def refusal(self, fault: Fault, path: str) -> Response:
        """Refuse a request the way Slack does."""
        if "/services/" not in path:
            return super().refusal(fault, path)
        if fault.fault is FaultKind.RATE_LIMITED:
            retry_after = {"Retry-After": str(fault.retry_after)}
            return PlainTextResponse("rate_limited", 429, retry_after)
        if fault.fault is FaultKind.UNAUTHORIZED:
            return PlainTextResponse("invalid_token", 403)
        return PlainTextResponse("service_unavailable", 503)


api = _SlackApi(
    SERVICE,
    is_authentic=lambda call: True,  # a method says ``ok: false``, and a webhook is its own secret
    not_found=PlainTextResponse("not_found", 404),
    not_allowed=PlainTextResponse("not_found", 404),
    limited=lambda headers: json_answer({"ok": False, "error": "ratelimited"}, 429, headers),
    unauthorized=lambda: json_answer({"ok": False, "error": "invalid_auth"}),
    unwell=lambda: json_answer({"ok": False, "error": "service_unavailable"}, 503),
)


@api.route("GET POST", "/api/{method}")
def _call(call: Call) -> Response:
    method = call.path_values["method"]
    headers: dict[str, str] = {}
    try:
        arguments = _arguments(call)
        token = _authenticate(call, arguments)
        headers["X-OAuth-Scopes"] = ",".join(SCOPES_OF[token])
        do = _method(method)
        _authorize(token, method, arguments)
        answer = do(call, arguments)
    except SlackError as error:
        return json_answer(error.answer, headers=headers)
    return json_answer({"ok": True, **answer}, headers=headers)


def channel_id(name: str) -> str:
    """Return the id of a channel; the same name has the same id in every sandbox."""
    return _id("C", name)


def user_id(email: str) -> str:
    """Return the id of the person with an e-mail address."""
    return _id("U", email.lower())


def direct_messages_id(user: str) -> str:
    """Return the id of the direct messages with the person of an id."""
    return _id("D", user)


def _id(prefix: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    return prefix + base64.b32encode(digest).decode()[:10]


# Requests


def _arguments(request: ReceivedRequest) -> Arguments:
    if request.method == "GET" or not request.body:
        return dict(request.query)
    if request.content_type == "application/x-www-form-urlencoded":
        return {**request.query, **request.form()}
    if request.content_type != "application/json":
        raise SlackError("invalid_post_type" if request.content_type else "missing_post_type")
    try:
        arguments = json.loads(request.body)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(arguments, dict):
        raise SlackError("json_not_object")
    return {name: value for name, value in arguments.items() if name != "token"}


def _authenticate(request: ReceivedRequest, arguments: Arguments) -> str:
    """Return a bearer token, or the older ``token`` argument of forms and queries."""
    token = bearer_token(request.headers) or arguments.pop("token", None)
    if not token:
        raise SlackError("not_authed")
    if token not in (TOKEN, TOKEN_TO_POST):
        raise SlackError("invalid_auth")
    return str(token)


def _authorize(token: str, method: str, arguments: Arguments) -> None:
    scope = SCOPES.get(method)
    if method == "conversations.history" and str(arguments.get("channel", "")).startswith("D"):
        scope = "im:history"
    if token == TOKEN_TO_POST and scope:
        raise SlackError("missing_scope", needed=scope, provided="chat:write")


def _method(name: str) -> Method:
    try:
        return METHODS[name]
    except KeyError:
        raise SlackError("unknown_method", req_method=name) from None


def _required(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        messages = [f"[ERROR] missing required field: {name}"]
        raise SlackError("invalid_arguments", response_metadata={"messages": messages})
    return value


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "1")


# Methods


def _auth_test(call: Call, arguments: Arguments) -> Document:
    return {
        "url": "https://sandbox.slack.example.com/",
        "team": "Sandbox",
        "user": "segue",
        "team_id": TEAM_ID,
        "user_id": BOT_USER_ID,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def _post_message(call: Call, arguments: Arguments) -> Document:
    conversation = _conversation_to_post_to(call.store, _required(arguments, "channel"))
    content = _content(arguments)
    ts = _next_ts(call.transaction, call.store.clock().timestamp())
    fields = {"channel": conversation.id, "channel_name": conversation.name, "ts": ts}
    optional = ("thread_ts", "reply_broadcast", "username")
    extra = {name: arguments[name] for name in optional if arguments.get(name)}
    call.receive(
        "message",
        to=conversation.name,
        text=_plain_text(content),
        fields={**fields, **content, **extra},
    )
    return {"channel": conversation.id, "ts": ts, "message": _shown({**content, "ts": ts})}


def _conversations_list(call: Call, arguments: Arguments) -> Document:
    types = {kind.strip() for kind in str(arguments.get("types") or TYPES[0]).split(",")}
    if not types <= set(TYPES):
        raise SlackError("invalid_types")
    conversations = [one for one in _conversations(call.store) if one.kind in types]
    page, cursor = _page(conversations, arguments)
    return {
        "channels": [_conversation_object(conversation) for conversation in page],
        "response_metadata": {"next_cursor": cursor},
    }


def _conversations_open(call: Call, arguments: Arguments) -> Document:
    """Open direct messages; the same people always share the same ones."""
    if arguments.get("channel"):
        conversation = _conversation_with_id(call.store, str(arguments["channel"]))
        if conversation.kind == "public_channel":
            raise SlackError("method_not_supported_for_channel_type")
    else:
        conversation = _conversation_with(str(arguments.get("users") or ""))
    is_open = conversation in _conversations(call.store)
    record = {"id": conversation.id, "name": conversation.name}
    call.transaction.put("slack.opened", conversation.id, record)
    if not _is_true(arguments.get("return_im")):
        return {"channel": {"id": conversation.id}}
    return {
        "no_op": is_open,
        "already_open": is_open,
        "channel": _conversation_object(conversation),
    }


def _conversations_history(call: Call, arguments: Arguments) -> Document:
    channel = _required(arguments, "channel")
    by_id = {conversation.id: conversation for conversation in _conversations(call.store)}
    if channel not in by_id:
        raise SlackError("channel_not_found")
    if not by_id[channel].is_joined:
        raise SlackError("not_in_channel")
    messages = [
        message.fields
        for message in reversed(call.store.messages(service=SERVICE))
        if message.fields["channel"] == channel
        and _in_history(message.fields)
        and _in_timeline(message.fields["ts"], arguments)
    ]
    page, cursor = _page(messages, arguments)
    with_metadata = _is_true(arguments.get("include_all_metadata"))
    return {
        "messages": [_shown(fields, with_metadata=with_metadata) for fields in page],
        "has_more": bool(cursor),
        "pin_count": 0,
        "channel_actions_ts": None,
        "channel_actions_count": 0,
        "response_metadata": {"next_cursor": cursor},
    }


def _users_lookup(call: Call, arguments: Arguments) -> Document:
    email = _required(arguments, "email")
    if not EMAIL.fullmatch(email) or email.startswith("missing-"):
        raise SlackError("users_not_found")
    name = email.partition("@")[0]
    names = ("real_name", "real_name_normalized", "display_name", "display_name_normalized")
    profile = {"avatar_hash": "0", "email": email, "team": TEAM_ID} | dict.fromkeys(names, name)
    user = {
        "id": user_id(email),
        "team_id": TEAM_ID,
        "name": name,
        "deleted": False,
        "real_name": name,
        "profile": profile,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": False,
        "is_app_user": False,
        "updated": CREATED,
    }
    return {"user": user}


METHODS: dict[str, Method] = {
    "auth.test": _auth_test,
    "chat.postMessage": _post_message,
    "conversations.history": _conversations_history,
    "conversations.list": _conversations_list,
    "conversations.open": _conversations_open,
    "users.lookupByEmail": _users_lookup,
}


SCOPES = {
    "conversations.history": "channels:history",
    "conversations.list": "channels:read,groups:read",
    "conversations.open": "im:write",
    "users.lookupByEmail": "users:read.email",
}

# what each token may do
SCOPES_OF = {
    TOKEN: (
        *("chat:write", "chat:write.public", "channels:history", "channels:read"),
        *("groups:history", "groups:read", "im:history", "im:write"),
        *("users:read", "users:read.email"),
    ),
    TOKEN_TO_POST: ("chat:write",),
}


# Conversations


def _conversations(store: Store) -> list[Conversation]:
    """Return every known conversation, once."""
    names = {channel_id(name): f"#{name}" for name in CHANNELS}
    names |= {opened["id"]: opened["name"] for opened in store.values("slack.opened")}
    for message in store.messages(service=SERVICE):
        names[message.fields["channel"]] = message.fields["channel_name"]
    return [Conversation(id, name) for id, name in names.items()]


def _conversation_to_post_to(store: Store, wanted: str) -> Conversation:
    """Find the conversation of an id or a name, or say why it cannot be posted to."""
    if re.fullmatch(r"[CDGUW][A-Z0-9]{8,}", wanted):
        return _conversation_with_id(store, wanted)
    name = _CHANNEL_NAME.fullmatch(wanted)
    if name is None or name[1].startswith("missing-"):
        raise SlackError("channel_not_found")
    if name[1].startswith("archived-"):
        raise SlackError("is_archived")
    if name[1].startswith("private-"):
        raise SlackError("not_in_channel")
    return Conversation(channel_id(name[1]), f"#{name[1]}")


def _conversation_with_id(store: Store, wanted: str) -> Conversation:
    if wanted[0] in "UW":  # posting to a person opens the direct messages with them
        if wanted.startswith("UMISSING"):
            raise SlackError("channel_not_found")
        return _conversation_with(wanted)
    for conversation in _conversations(store):
        if conversation.id == wanted:
            return conversation
    raise SlackError("channel_not_found")


def _conversation_with(users: str) -> Conversation:
    """Return the direct messages with people, by their ids with commas between."""
    people = sorted({user.strip() for user in users.split(",") if user.strip()})
    if not people:
        raise SlackError("users_list_not_supplied")
    if len(people) > MAX_PEOPLE:
        raise SlackError("too_many_users")
    if any(not _USER_ID.fullmatch(user) or user.startswith("UMISSING") for user in people):
        raise SlackError("user_not_found")
    names = ",".join(people)
    return Conversation(_id("D" if len(people) == 1 else "G", names), f"@{names}")


def _conversation_object(conversation: Conversation) -> Document:
    """Return a conversation as the API shows it; direct messages have no name."""
    if conversation.kind == "im":
        return {
            "id": conversation.id,
            "created": CREATED,
            "is_im": True,
            "is_org_shared": False,
            "user": conversation.name.removeprefix("@"),
            "is_user_deleted": False,
            "priority": 0,
        }
    name = conversation.name.lstrip("#@").replace(",", "-").lower()
    empty = {"value": "", "creator": "", "last_set": 0}
    is_channel = conversation.kind == "public_channel"
    return {
        "id": conversation.id,
        "name": name,
        "name_normalized": name,
        "previous_names": [],
        "created": CREATED,
        "creator": BOT_USER_ID,
        "is_channel": is_channel,
        "is_group": False,
        "is_im": False,
        "is_mpim": not is_channel,
        "is_private": not is_channel,
        "is_archived": False,
        "is_general": name == CHANNELS[0],
        "is_shared": False,
        "is_org_shared": False,
        "is_member": conversation.is_joined,
        "topic": empty,
        "purpose": empty,
    }


def _page(items: list[Any], arguments: Arguments) -> tuple[list[Any], str]:
    """Return one page and the cursor of the next; the cursor is empty on the last page."""
    try:
        limit = min(int(arguments.get("limit") or PAGE_SIZE), 999)
        start = int(base64.b64decode(str(arguments.get("cursor") or "")) or 0)
    except ValueError:
        raise SlackError("invalid_cursor" if arguments.get("cursor") else "invalid_limit") from None
    if limit < 1:
        raise SlackError("invalid_limit")
    end = start + limit
    cursor = base64.b64encode(str(end).encode()).decode() if end < len(items) else ""
    return items[start:end], cursor


def _in_history(fields: Document) -> bool:
    """Tell whether a message is in the channel itself, not in a thread only."""
    return not fields.get("thread_ts") or _is_true(fields.get("reply_broadcast"))


def _in_timeline(ts: str, arguments: Arguments) -> bool:
    oldest, latest = arguments.get("oldest"), arguments.get("latest")
    if _is_true(arguments.get("inclusive")) and ts in (oldest, latest):
        return True
    try:
        is_after = not oldest or float(ts) > float(oldest)
        is_before = not latest or float(ts) < float(latest)
    except ValueError:
        raise SlackError("invalid_ts_oldest") from None
    return is_after and is_before


# Messages


def _content(arguments: Arguments) -> Document:
    text = arguments.get("text") or arguments.get("markdown_text") or ""
    content: Document = {
        "text": text if isinstance(text, str) else json.dumps(text),
        "blocks": _blocks(arguments.get("blocks")),
        "attachments": _attachments(arguments.get("attachments")),
        "metadata": _metadata(arguments.get("metadata")),
    }
    if not any((content["text"].strip(), content["blocks"], content["attachments"])):
        raise SlackError("no_text")
    if len(content["text"]) > MAX_TEXT:
        raise SlackError("msg_too_long")
    return {name: value for name, value in content.items() if value or name == "text"}


def _parsed(value: object, error: str) -> object:
    """Undo the JSON text in which forms carry structures."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else None
    except ValueError:
        raise SlackError(error) from None


def _parsed_list(value: object, error: str) -> list[Document]:
    items = _parsed(value, error)
    if items is None:
        return []
    if not isinstance(items, list):
        raise SlackError(error)
    return items


def _attachments(value: object) -> list[Document]:
    attachments = _parsed_list(value, "invalid_attachments")
    if len(attachments) > MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return attachments


def _metadata(value: object) -> Document | None:
    metadata = _parsed(value, "invalid_metadata_format")
    if metadata is None:
        return None
    if (
        not isinstance(metadata, dict)
        or not isinstance(metadata.get("event_type"), str)
        or not metadata["event_type"]
        or not isinstance(metadata.get("event_payload"), dict)
    ):
        raise SlackError("invalid_metadata_format")
    return metadata


def _blocks(value: object) -> list[Document]:
    blocks = _parsed_list(value, "invalid_blocks_format")
    problems = [f"{what} [json-pointer:{where}]" for where, what in block_problems(blocks)]
    if problems:
        messages = [f"[ERROR] {problem}" for problem in problems]
        raise SlackError(
            "invalid_blocks", errors=problems, response_metadata={"messages": messages}
        )
    return blocks


def _plain_text(content: Document) -> str:
    """Return what the inbox shows: the text, or what the blocks say."""
    blocks = [block["text"]["text"] for block in content.get("blocks", []) if _has_text(block)]
    attachments = [str(one.get("text", "")) for one in content.get("attachments", [])]
    return content["text"] or "\n".join([*blocks, *attachments])


def _has_text(block: Document) -> bool:
    return isinstance(block.get("text"), dict) and "text" in block["text"]


def _shown(fields: Document, *, with_metadata: bool = True) -> Document:
    names = ["text", "blocks", "attachments", "ts", "thread_ts", "username"]
    names += ["metadata"] if with_metadata else []
    return {
        "type": "message",
        "subtype": "bot_message",
        "bot_id": BOT_ID,
        **{name: fields[name] for name in names if name in fields},
    }


def _next_ts(transaction: Transaction, now: float) -> str:
    """Return a message's timestamp, which is also its id in the channel: never the same twice."""
    last = transaction.get("slack.ts", "last") or {"micros": 0}
    micros = max(int(now * 1_000_000), last["micros"] + 1)
    transaction.put("slack.ts", "last", {"micros": micros})
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


# Incoming webhooks


@api.post("/services/{team}/{hook}/{token}")
def _webhook(call: Call) -> Response:
    refusal = _webhook_refusal(**call.path_values)
    if refusal:
        return refusal
    try:
        content = _content(_payload(call))
    except SlackError as error:
        return PlainTextResponse(error.answer["error"], 400)
    _receive_webhook(call, content)
    return PlainTextResponse("ok")


def _webhook_refusal(team: str, hook: str, token: str) -> Response | None:
    """Return the answer to who calls another webhook than the one that works."""
    our_team, our_hook, our_token = WEBHOOK.split("/")
    if team != our_team:
        return PlainTextResponse("no_team", 404)
    if hook in FAILING_WEBHOOKS and token == our_token:
        status, error = FAILING_WEBHOOKS[hook]
        return PlainTextResponse(error, status)
    if hook != our_hook:
        return PlainTextResponse("no_service", 404)
    return None if token == our_token else PlainTextResponse("invalid_token", 403)


def _payload(request: ReceivedRequest) -> Arguments:
    """Return the JSON object of a webhook: the body, or the form field ``payload``."""
    form = request.content_type == "application/x-www-form-urlencoded"
    try:
        payload = json.loads(request.form().get("payload", "") if form else request.body)
    except ValueError:
        raise SlackError("invalid_payload") from None
    if not isinstance(payload, dict):
        raise SlackError("invalid_payload")
    return payload


def _receive_webhook(call: Call, content: Document) -> Message:
    """Keep a webhook's message; a webhook is bound to one channel when it is made."""
    name = CHANNELS[0]
    ts = _next_ts(call.transaction, call.store.clock().timestamp())
    fields = {"channel": channel_id(name), "channel_name": f"#{name}", "ts": ts}
    return call.receive(
        "webhook_message",
        to=f"#{name}",
        text=_plain_text(content),
        fields={**fields, **content},
    )
