"""What the channels of Slack share: calls over the vendor's SDK, and what it makes of answers.

Followed:
    https://docs.slack.dev/apis/web-api (``ok: false`` with HTTP 200)
    https://docs.slack.dev/apis/web-api/rate-limits (tiers; 429, Retry-After)

The SDK retries nothing here and logs nothing: it would post again after a lost answer, and its
debug lines hold whole messages and the secret URLs of webhooks. None of its exceptions' texts is
passed on, for the same reason. What an answer, or none, means is in
``segue.channels.answer_meanings``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from segue.channels.answer_meanings import SLACK, Call, Silence, Table
from segue.channels.http.answers import is_code, retry_after
from segue.errors import ConnectionFailure, DeliveryError, OutcomeUnknown

if TYPE_CHECKING:
    from urllib.error import URLError

    from airflow.providers.slack.hooks.slack import SlackHook
    from slack_sdk.errors import SlackApiError

PAGE_SIZE = 999  # what a list or a history has at most


class SlackApi:
    """The Web API of one workspace; the SDK opens a connection for each call."""

    def __init__(self, hook: SlackHook) -> None:
        self._hook = hook

    def respond(
        self, call: Call, method: str, *, absent: str | None = None, **request: Mapping[str, Any]
    ) -> Any:
        """Call a method once and return its answer, with its headers.

        ``absent`` is the code of a refusal that is an answer, too: there is None.
        """
        from slack_sdk.errors import SlackApiError

        try:
            return call_sdk(SLACK, call, lambda: self._hook.call(method, **request))
        except SlackApiError as error:
            if absent and code_of(error) == absent:
                return None
            raise failed_answer(call, error) from None

    def ask(self, method: str, **arguments: Any) -> Any:
        """Ask what changes nothing, as part of a look-up, and return the answer's data."""
        return self.respond(Call.QUESTION, method, data=arguments).data

    def pages(self, method: str, **arguments: Any) -> Iterator[Any]:
        """Yield the pages of a list or a history."""
        cursors = [""]
        while True:
            cursor = {"cursor": cursors[-1]} if cursors[-1] else {}
            page = self.ask(method, **arguments, **cursor, limit=PAGE_SIZE)
            yield page
            next_cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not next_cursor and not page.get("has_more"):
                return
            if next_cursor in cursors:
                raise OutcomeUnknown(f"Slack does not show {method} to its end")
            cursors.append(next_cursor)


def call_sdk(table: Table, call: Call, work: Callable[[], Any]) -> Any:
    """Return what a call of the SDK does, with its failures turned into Segue's by ``table``.

    An answer without ``ok: true`` is the caller's to read: SlackApiError passes through.
    """
    from http.client import HTTPException
    from urllib.error import URLError

    from slack_sdk.errors import SlackApiError, SlackRequestError

    try:
        return work()
    except SlackApiError:
        raise
    except SlackRequestError:
        raise ConnectionFailure("the connection's address is not one of HTTP") from None
    except URLError as error:  # the request did not get out whole: Slack cannot have acted on it
        raise table.outcome(call, _silence_of(error)).failure(vendor="Slack") from None
    except (OSError, HTTPException, ValueError, LookupError, AttributeError) as error:
        # from here on urllib was waiting for the answer, or the SDK was reading it
        answer = f"Slack's answer was lost: {type(error).__name__}"
        raise table.outcome(call, Silence.LOST).failure(answer=answer) from None


def failed_answer(call: Call, error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` stands for."""
    status, code = int(getattr(error.response, "status_code", 0) or 0), code_of(error)
    occasion = " when asked for a message" if call is Call.QUESTION else ""
    answer = f"Slack answered {code or status}{occasion}"
    headers = getattr(error.response, "headers", None) or {}
    return SLACK.outcome(call, status, code).failure(answer=answer, pause=pause_in(headers))


def pause_in(headers: Mapping[str, Any]) -> float | None:
    """Return the seconds that an answer asks for, however the header's name is written."""
    names = {str(name).lower(): str(value) for name, value in headers.items()}
    return retry_after(names.get("retry-after"))


def _silence_of(error: URLError) -> Silence:
    import socket
    import ssl

    if isinstance(error.reason, socket.gaierror):
        return Silence.UNKNOWN_HOST
    is_of_tls = isinstance(error.reason, ssl.SSLError)
    return Silence.CERTIFICATE if is_of_tls else Silence.UNREACHABLE


def code_of(error: SlackApiError) -> str | None:
    """Return the error's code; the SDK puts other texts in its place where it finds no JSON."""
    data = getattr(error.response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    return code if is_code(code) else None


def silent() -> logging.Logger:
    """Return a logger for the SDK that writes nothing: what went wrong is raised."""
    logger = logging.getLogger("segue.channels.slack.calls.sdk")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
