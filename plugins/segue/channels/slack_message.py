"""Slack messages, through the Slack provider's hook and ``chat.postMessage``.

Followed:
    https://docs.slack.dev/reference/methods/chat.postMessage (arguments, errors, 40,000 characters;
    one message a second and channel, several hundred a minute and workspace)
    https://docs.slack.dev/reference/methods/conversations.history (by id, never by name; only where
    the app is a member; include_all_metadata; cursors)
    https://docs.slack.dev/reference/methods/conversations.list (types, cursors)
    https://docs.slack.dev/reference/objects/conversation-object (name, previous_names)
    https://docs.slack.dev/messaging/message-metadata
    https://docs.slack.dev/messaging/formatting-message-text (what is escaped, unfurling)
    https://docs.slack.dev/apis/web-api/rate-limits (tiers; 429, Retry-After)
    https://docs.slack.dev/reference/methods/auth.test
    https://docs.slack.dev/legacy/legacy-authentication/legacy-oauth-scopes (X-OAuth-Scopes)
    https://airflow.apache.org/docs/apache-airflow-providers-slack/stable/connections/slack.html

The connection is of type Slack API: the password is a bot token with the scope ``chat:write``
(and ``chat:write.public`` for channels the app is not a member of). To look a message up again it
needs ``channels:history`` (private channels: ``groups:history``), membership of the channel, and,
where ``channel`` is a name, ``channels:read`` and ``groups:read``. Its extra may give ``timeout``,
``base_url``, ``proxy`` and ``segue_rate``.

What an answer to a look-up means: the token is dead, ConnectionFailure; a limit, an internal error
or a lost answer, TransientFailure, because asking may be repeated; anything else, OutcomeUnknown.
A missing scope is among the last: posting works without it, so the connection is not broken, and
"not there" would be a guess.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from segue.channels.addressing import TeamChannel
from segue.channels.airflow_connections import opened
from segue.channels.http_calls import is_code, retry_after
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.delivery.channel import Finding, Limit, Receipt, Sender, Tried
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    SettingsError,
    TransientFailure,
)
from segue.workflows.templates import Line, Mrkdwn

if TYPE_CHECKING:
    from urllib.error import URLError

    from airflow.providers.slack.hooks.slack import SlackHook
    from slack_sdk.errors import SlackApiError

EVENT_TYPE = "segue_delivery"
LONGEST_TEXT = 40_000  # characters; Slack cuts off what is beyond
RATE = "300/minute"  # of the workspace: "several hundred"
CHANNEL_SECONDS = 1.0  # between two messages to one channel
SCOPES = "x-oauth-scopes"  # the header that tells what a token may do
PAGE_SIZE = 999  # what a list or a history has at most
CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{8,}")
TESTER = re.compile(r"[CDGUW][A-Z0-9]{8,}|#[^\s#@<>&,]{1,80}")  # a channel, or a person's id
# what a token may lack and still post: messages in doubt cannot be looked up then
TO_LOOK_UP = frozenset({"channels:history", "channels:read", "groups:read"})

# of the errors that chat.postMessage documents, those that are not about one message
OF_THE_CONNECTION = frozenset(
    {
        "access_denied",
        "accesslimited",
        "account_inactive",
        "deprecated_endpoint",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_auth",
        "method_deprecated",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
        "unknown_method",
    }
)
TRY_AGAIN = frozenset(
    {
        "org_login_required",  # the workspace is being migrated
        "rate_limited",
        "ratelimited",
        "request_timeout",  # the body arrived cut short
        "service_unavailable",
        "team_added_to_org",  # the workspace is being migrated
    }
)
# of those, and of the errors that are documented for look-ups, those of a token that is dead
OF_THE_TOKEN = frozenset(
    {"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"}
)
# "It's possible some aspect of the operation succeeded before the error was raised."
UNKNOWN_OUTCOME = frozenset({"fatal_error", "internal_error"})


class SlackMessage(TeamChannel):
    """Post a message to a channel; the team reads it.

    ``channel`` is a name (``#escalations``) or an id. ``text`` is Slack's markup: what expressions
    print is escaped, so no contact can mention or format a link; links are not unfurled. More than
    40,000 characters fail, where Slack would cut them off. A channel that is shared with customers
    may be one for the contact: ``audience: contact`` leaves out who opted out.

    Slack allows about one message a second and channel and several hundred a minute and workspace,
    and answers 429 with Retry-After beyond.

    A delivery is doubtful when the answer was lost, or was an internal error of Slack's that may
    have come after the message. ``chat.postMessage`` is not idempotent: the message carries the
    delivery's key as metadata, and is looked for in the history of the channel, and of every other
    channel that ever had its name. *Uncertain* is what is left: the token lacks a scope, the app is
    not in the channel, or the channel is a person. A message that somebody has deleted in the
    meantime is posted again.
    """

    name: ClassVar[str] = "slack_message"
    longest_call: ClassVar[float] = 120.0

    connection: str = "slack_default"
    channel: Line
    text: Mrkdwn

    @property
    def can_be_asked(self) -> bool:
        """Always: a message carries the key in its metadata."""
        return True

    @property
    def needs(self) -> Set[str]:
        """The scopes to post and to look up; a channel's name is looked up in the lists."""
        if CHANNEL_ID.fullmatch(self.channel.source):
            return {"chat:write", "channels:history"}
        return {"chat:write", *TO_LOOK_UP}

    def tester(self, to: str) -> str:
        """Return another channel, or a person's id."""
        if not TESTER.fullmatch(to):
            raise SettingsError(
                f"{to!r} is no place in Slack; allowed: a channel such as #tests, or the id of a "
                "channel or a person such as U0123456789"
            )
        return to

    def readdressed(self, message: Mapping[str, Any], tester: str) -> dict[str, Any]:
        """Return the message for another channel, or for a person."""
        return {**message, "channel": tester, "text": f"[test] {message['text']}"}

    def connect(self) -> SlackMessages:
        """Build the client, once for all threads; nothing is sent yet."""
        from airflow.providers.slack.hooks.slack import SlackHook

        hook = SlackHook(
            slack_conn_id=self.connection,
            retry_handlers=[],  # the SDK's own would post again after a lost answer
            logger=_silent(),  # the SDK's debug lines hold whole messages
        )
        opened(self.connection, lambda: hook.client)
        return SlackMessages(hook, self.connection, limits_of(self.connection, default=RATE))

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the channel as the template gave it: a name or an id."""
        return {"channel": message["channel"]}


class SlackMessages(Sender):
    """A client of one workspace; the SDK opens a connection for each call."""

    def __init__(self, hook: SlackHook, connection: str, limits: Sequence[Limit]) -> None:
        self._hook = hook
        self._connection = connection
        self._limits = limits  # of the workspace

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Post one message."""
        if len(message["text"]) > LONGEST_TEXT:
            raise ContactFailure(f"text: more than {LONGEST_TEXT} characters, which Slack cuts off")
        arguments = {
            "channel": message["channel"],
            "text": message["text"],
            "unfurl_links": False,
            "unfurl_media": False,
            "link_names": False,
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"delivery": key}},
        }
        answer = self._call("chat.postMessage", failed_answer, OutcomeUnknown, json=arguments)
        try:
            return _receipt(str(answer["ts"]), str(answer["channel"]))
        except (KeyError, TypeError):
            raise OutcomeUnknown("Slack's answer does not name the message") from None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Read the history of each channel once and look for the keys in the metadata."""
        begin = look_from(since)
        found: dict[str, Receipt] = {}
        try:
            for channel in self._ids({trace["channel"] for trace in traces.values()}):
                if keys := traces.keys() - found.keys():
                    found |= self._in_history(channel, begin, keys)
        except (KeyError, TypeError, AttributeError) as error:
            name = type(error).__name__
            raise OutcomeUnknown(f"Slack's answer does not tell what was posted ({name})") from None
        return found

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the workspace's limit and the channel's; none where there is none."""
        scope = f"{self._connection} {message['channel']}"
        return [*self._limits, Limit(scope, 1, CHANNEL_SECONDS)] if self._limits else ()

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the token is, and compare its scopes with those that are needed."""
        response = self._respond("auth.test", failed_check, lost_question)
        try:
            whose = f"{response.data['user']} in the workspace {response.data['team']}"
        except (KeyError, TypeError):
            raise ConnectionFailure(
                "Slack's answer is not one of its API; check the base_url"
            ) from None
        told = {name.lower(): value for name, value in response.headers.items()}.get(SCOPES)
        if told is None:
            return Finding(Tried.LIMITED, f"{whose}; Slack does not tell the token's scopes")
        granted = {scope.strip() for scope in str(told).split(",")}
        if "groups:history" in granted:  # all that a private channel needs; which it is, is unknown
            granted.add("channels:history")
        missing = needs - granted
        names = ", ".join(sorted(missing))
        remedy = "add it to the app's bot token scopes, and install the app again"
        if missing - TO_LOOK_UP:
            raise ConnectionFailure(f"{whose}; the token lacks {names}: {remedy}")
        if missing:
            cost = "messages in doubt cannot be looked up"
            return Finding(Tried.LIMITED, f"{whose}; {cost} without {names}: {remedy}")
        return Finding(Tried.OK, whose)

    def _ids(self, channels: Set[str]) -> Sequence[str]:
        """Return the ids of these channels, sorted: for a name, of all that have or had it.

        Who renames a channel may give its old name to another one, and the message is in one of
        the two. Raises OutcomeUnknown for a name that no channel has that the token may list.
        """
        ids = {channel for channel in channels if CHANNEL_ID.fullmatch(channel)}
        names = {channel.removeprefix("#") for channel in channels - ids}
        missing = set(names)
        for page in self._pages(types="public_channel,private_channel") if names else ():
            for channel in page["channels"]:
                borne = names & {channel["name"], *(channel.get("previous_names") or ())}
                ids |= {channel["id"]} if borne else set()
                missing -= borne
        if missing:
            raise OutcomeUnknown(
                "Slack lists no channel of that name to this token; invite the app to the channel, "
                "or give the channel's id in the workflow"
            )
        return sorted(ids)

    def _in_history(self, channel: str, begin: datetime, keys: Set[str]) -> dict[str, Receipt]:
        """Return receipts for those of the deliveries that are in one channel since ``begin``."""
        found: dict[str, Receipt] = {}
        oldest = f"{begin.timestamp():.6f}"
        for page in self._pages(channel=channel, oldest=oldest, include_all_metadata="true"):
            for message in page["messages"]:
                metadata = message.get("metadata") or {}
                if metadata.get("event_type") == EVENT_TYPE:
                    key = metadata["event_payload"]["delivery"]  # KeyError where it is withheld
                    found |= {key: _receipt(message["ts"], channel)} if key in keys else {}
            if keys <= found.keys():
                break
        return found

    def _pages(self, **arguments: str) -> Iterator[Any]:
        """Yield the pages of a channel's history, or of the list where no channel is named."""
        method = "conversations.history" if "channel" in arguments else "conversations.list"
        cursors = [""]
        while True:
            asked = {**arguments, "limit": PAGE_SIZE}
            asked |= {"cursor": cursors[-1]} if cursors[-1] else {}
            page = self._call(method, no_answer, lost_question, data=asked)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor and not page.get("has_more"):
                return
            if cursor in cursors:
                raise OutcomeUnknown(f"Slack does not show {method} to its end")
            cursors.append(cursor)

    def _call(
        self,
        method: str,
        refused: Callable[[SlackApiError], DeliveryError],
        lost: Callable[[str], DeliveryError],
        **request: Mapping[str, Any],
    ) -> Any:
        """Call a method once and return its answer's data; see ``_respond``."""
        return self._respond(method, refused, lost, **request).data

    def _respond(
        self,
        method: str,
        refused: Callable[[SlackApiError], DeliveryError],
        lost: Callable[[str], DeliveryError],
        **request: Mapping[str, Any],
    ) -> Any:
        """Call a method once; ``refused`` and ``lost`` say what it means when that fails."""
        from http.client import HTTPException
        from urllib.error import URLError

        from slack_sdk.errors import SlackApiError, SlackRequestError

        try:
            return self._hook.call(method, **request)
        except SlackApiError as error:
            raise refused(error) from None
        except SlackRequestError:
            raise ConnectionFailure("the connection's base_url is not one of HTTP") from None
        except URLError as error:
            raise failed_request(error) from None
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            # from here on urllib was waiting for the answer, or the SDK was reading it
            raise lost(f"Slack's answer was lost: {type(error).__name__}") from None


def failed_answer(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to a message stands for."""
    status, headers, code = _status(error), _headers(error), _code(error)
    said = f"Slack answered {code or status}"
    if code in UNKNOWN_OUTCOME or status == 504:
        return OutcomeUnknown(f"{said}; the message may have been posted")
    if code in TRY_AGAIN or status == 429 or status >= 500:
        return TransientFailure(said, retry_after=retry_after(headers.get("retry-after")))
    if code in OF_THE_CONNECTION or status in (401, 403, 404):
        return ConnectionFailure(f"{said}; check the connection's token, its scopes and base_url")
    if code is None and status < 300:
        return OutcomeUnknown("Slack's answer is not one of its API; check the base_url")
    return ContactFailure(said)


def no_answer(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to a look-up stands for."""
    status, headers, code = _status(error), _headers(error), _code(error)
    said = f"Slack answered {code or status} when asked for a message"
    if code in TRY_AGAIN | UNKNOWN_OUTCOME or status == 429 or status >= 500:
        return TransientFailure(said, retry_after=retry_after(headers.get("retry-after")))
    if code in OF_THE_TOKEN or status in (401, 403, 404):
        return ConnectionFailure(f"{said}; check the connection's token and base_url")
    if code is None:
        return lost_question(said)
    return OutcomeUnknown(f"{said}; check the token's scopes, and invite the app to the channel")


def failed_check(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to ``auth.test`` stands for."""
    failure = failed_answer(error)
    if isinstance(failure, TransientFailure):
        return failure
    said = f"Slack answered {_code(error) or _status(error)}"
    if isinstance(failure, OutcomeUnknown) and _code(error) is not None:
        return lost_question(said)
    return ConnectionFailure(f"{said}; check the connection's token and base_url")


def lost_question(said: str) -> DeliveryError:
    """Return the error for a look-up whose answer was lost or is no JSON: it may be repeated."""
    return TransientFailure(f"{said}; nothing was changed by asking")


def failed_request(error: URLError) -> DeliveryError:
    """Return the error for a request that did not get out whole: Slack cannot have acted on it."""
    import socket
    import ssl

    if isinstance(error.reason, socket.gaierror):
        return ConnectionFailure("the host of Slack is unknown; check the connection's base_url")
    if isinstance(error.reason, ssl.SSLError):
        return ConnectionFailure("no secure connection to Slack; check its certificate")
    return TransientFailure("Slack cannot be reached; nothing was sent")


def _receipt(ts: str, channel: str) -> Receipt:
    return Receipt(external_id=ts, results={"ts": ts, "channel": channel})


def _status(error: SlackApiError) -> int:
    return int(getattr(error.response, "status_code", 0) or 0)


def _headers(error: SlackApiError) -> dict[str, str]:
    headers = getattr(error.response, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _code(error: SlackApiError) -> str | None:
    """Return the error's code; the SDK puts other texts in its place where it finds no JSON."""
    data = getattr(error.response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    return code if is_code(code) else None


def _silent() -> logging.Logger:
    """Return a logger that writes nothing: what went wrong is raised."""
    logger = logging.getLogger("segue.channels.slack_message.sdk")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
