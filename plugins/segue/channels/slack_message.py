"""Slack messages, through the Slack provider's hook and ``chat.postMessage``.

Followed:
    https://docs.slack.dev/reference/methods/chat.postMessage (arguments, errors, 40,000 characters)
    https://docs.slack.dev/messaging/message-metadata
    https://docs.slack.dev/messaging/formatting-message-text (what is escaped, unfurling)
    https://docs.slack.dev/apis/web-api/rate-limits (429, Retry-After)
    https://airflow.apache.org/docs/apache-airflow-providers-slack/stable/connections/slack.html

The connection is of type Slack API: the password is a bot token with the scope ``chat:write``
(and ``chat:write.public`` for channels the app is not a member of). Its extra may give
``timeout``, ``base_url`` and ``proxy``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from segue.channels.airflow_connections import opened
from segue.channels.http_calls import is_code, retry_after
from segue.delivery.channel import Channel, Receipt, Sender
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)
from segue.workflows.templates import Line, Mrkdwn

if TYPE_CHECKING:
    from urllib.error import URLError

    from airflow.providers.slack.hooks.slack import SlackHook
    from slack_sdk.errors import SlackApiError

EVENT_TYPE = "segue_delivery"
LONGEST_TEXT = 40_000  # characters; Slack cuts off what is beyond

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
# "It's possible some aspect of the operation succeeded before the error was raised."
UNKNOWN_OUTCOME = frozenset({"fatal_error", "internal_error"})


class SlackMessage(Channel):
    """Post a message to a channel; the team reads it.

    ``channel`` is a name (``#escalations``) or an id. ``text`` is Slack's markup: what expressions
    print is escaped, so no contact can mention or format a link; links are not unfurled. More than
    40,000 characters fail, where Slack would cut them off.

    Slack allows about one message a second and channel, and answers 429 with Retry-After beyond.

    *Uncertain* means that the answer was lost, or was an internal error of Slack's that may have
    come after the message. ``chat.postMessage`` is not idempotent: the message carries the
    delivery's key as metadata, by which it can be found in the channel's history; until Segue does
    so itself, such a delivery waits for a person.
    """

    name: ClassVar[str] = "slack_message"
    longest_call: ClassVar[float] = 120.0

    connection: str = "slack_default"
    channel: Line
    text: Mrkdwn

    def connect(self) -> SlackMessages:
        """Build the client, once for all threads; nothing is sent yet."""
        from airflow.providers.slack.hooks.slack import SlackHook

        hook = SlackHook(
            slack_conn_id=self.connection,
            retry_handlers=[],  # the SDK's own would post again after a lost answer
            logger=_silent(),  # the SDK's debug lines hold whole messages
        )
        opened(self.connection, lambda: hook.client)
        return SlackMessages(hook)


class SlackMessages(Sender):
    """A client of one workspace; the SDK opens a connection for each call."""

    def __init__(self, hook: SlackHook) -> None:
        self._hook = hook

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Post one message."""
        if len(message["text"]) > LONGEST_TEXT:
            raise ContactFailure(f"text: more than {LONGEST_TEXT} characters, which Slack cuts off")
        answer = self._post(
            {
                "channel": message["channel"],
                "text": message["text"],
                "unfurl_links": False,
                "unfurl_media": False,
                "link_names": False,
                "metadata": {"event_type": EVENT_TYPE, "event_payload": {"delivery": key}},
            }
        )
        try:
            ts, channel = str(answer["ts"]), str(answer["channel"])
        except (KeyError, TypeError):
            raise OutcomeUnknown("Slack's answer does not name the message") from None
        return Receipt(external_id=ts, results={"ts": ts, "channel": channel})

    def _post(self, arguments: Mapping[str, Any]) -> Any:
        from http.client import HTTPException
        from urllib.error import URLError

        from slack_sdk.errors import SlackApiError, SlackRequestError

        try:
            return self._hook.call("chat.postMessage", json=arguments).data
        except SlackApiError as error:
            raise failed_answer(error) from None
        except SlackRequestError:
            raise ConnectionFailure("the connection's base_url is not one of HTTP") from None
        except URLError as error:
            raise failed_request(error) from None
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            # from here on urllib was waiting for the answer, or the SDK was reading it
            raise OutcomeUnknown(f"Slack's answer was lost: {type(error).__name__}") from None


def failed_answer(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` stands for."""
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


def failed_request(error: URLError) -> DeliveryError:
    """Return the error for a request that did not get out whole: Slack cannot have acted on it."""
    import socket
    import ssl

    if isinstance(error.reason, socket.gaierror):
        return ConnectionFailure("the host of Slack is unknown; check the connection's base_url")
    if isinstance(error.reason, ssl.SSLError):
        return ConnectionFailure("no secure connection to Slack; check its certificate")
    return TransientFailure("Slack cannot be reached; nothing was sent")


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
