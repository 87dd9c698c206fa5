"""What the channels of Slack share: calls over the vendor's SDK, and what its answers mean.

Followed:
    https://docs.slack.dev/apis/web-api (``ok: false`` with HTTP 200)
    https://docs.slack.dev/apis/web-api/rate-limits (tiers; 429, Retry-After)
    https://docs.slack.dev/reference/methods/chat.postMessage (errors)
    https://docs.slack.dev/reference/methods/users.lookupByEmail (errors)
    https://docs.slack.dev/reference/methods/auth.test (errors)

The SDK retries nothing here and logs nothing: it would post again after a lost answer, and its
debug lines hold whole messages and the secret URLs of webhooks. None of its exceptions' texts is
passed on, for the same reason.

What an answer to a look-up means: the token is dead, ConnectionFailure; a limit, an internal error
or a lost answer, TransientFailure, because asking may be repeated; anything else, OutcomeUnknown.
A missing scope is among the last: posting works without it, so the connection is not broken, and
"not there" would be a guess.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from segue.channels.http.calls import is_code, retry_after
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)

if TYPE_CHECKING:
    from urllib.error import URLError

    from airflow.providers.slack.hooks.slack import SlackHook
    from slack_sdk.errors import SlackApiError

PAGE_SIZE = 999  # what a list or a history has at most

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
PERHAPS_DONE = frozenset({500, 502, 504})  # with no word of Slack's: a proxy lost the answer
# "It's possible some aspect of the operation succeeded before the error was raised."
UNKNOWN_OUTCOME = frozenset({"fatal_error", "internal_error"})


class SlackApi:
    """The Web API of one workspace; the SDK opens a connection for each call."""

    def __init__(self, hook: SlackHook) -> None:
        self._hook = hook

    def call(
        self,
        method: str,
        refused: Callable[[SlackApiError], DeliveryError],
        lost: Callable[[str], DeliveryError],
        **request: Mapping[str, Any],
    ) -> Any:
        """Call a method once and return its answer's data; see ``respond``."""
        return self.respond(method, refused, lost, **request).data

    def respond(
        self,
        method: str,
        refused: Callable[[SlackApiError], DeliveryError],
        lost: Callable[[str], DeliveryError],
        **request: Mapping[str, Any],
    ) -> Any:
        """Call a method once; ``refused`` and ``lost`` say what it means when that fails."""
        from slack_sdk.errors import SlackApiError

        try:
            return guarded(lambda: self._hook.call(method, **request), lost)
        except SlackApiError as error:
            raise refused(error) from None

    def ask(self, method: str, **arguments: Any) -> Any:
        """Ask what changes nothing, as part of a look-up."""
        return self.call(method, no_answer, lost_question, data=arguments)

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


def guarded(call: Callable[[], Any], lost: Callable[[str], DeliveryError]) -> Any:
    """Return what a call of the SDK does, with its failures turned into Segue's.

    An answer without ``ok: true`` is the caller's to read: SlackApiError passes through.
    """
    from http.client import HTTPException
    from urllib.error import URLError

    from slack_sdk.errors import SlackApiError, SlackRequestError

    try:
        return call()
    except SlackApiError:
        raise
    except SlackRequestError:
        raise ConnectionFailure("the connection's address is not one of HTTP") from None
    except URLError as error:
        raise failed_request(error) from None
    except (OSError, HTTPException, ValueError, AttributeError) as error:
        # from here on urllib was waiting for the answer, or the SDK was reading it
        raise lost(f"Slack's answer was lost: {type(error).__name__}") from None


def failed_answer(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to a message stands for."""
    status, headers, code = _status(error), _headers(error), code_of(error)
    words = f"Slack answered {code or status}"
    if code in UNKNOWN_OUTCOME or (code is None and status in PERHAPS_DONE):
        return OutcomeUnknown(f"{words}; the message may have been posted")
    if code in TRY_AGAIN or status == 429 or status >= 500:
        return TransientFailure(words, retry_after=retry_after(headers.get("retry-after")))
    if code in OF_THE_CONNECTION or status in (401, 403, 404):
        return ConnectionFailure(f"{words}; check the connection's token, its scopes and base_url")
    if code is None and status < 300:
        return OutcomeUnknown("Slack's answer is not one of its API; check the base_url")
    return ContactFailure(words)


def no_answer(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to a look-up stands for."""
    status, headers, code = _status(error), _headers(error), code_of(error)
    words = f"Slack answered {code or status} when asked for a message"
    if code in TRY_AGAIN | UNKNOWN_OUTCOME or status == 429 or status >= 500:
        return TransientFailure(words, retry_after=retry_after(headers.get("retry-after")))
    if code in OF_THE_TOKEN or status in (401, 403, 404):
        return ConnectionFailure(f"{words}; check the connection's token and base_url")
    if code is None:
        return lost_question(words)
    return OutcomeUnknown(f"{words}; check the token's scopes, and invite the app to the channel")


def unknown_person(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` about an address stands for.

    The caller has read the code of an address that Slack does not know. Nothing is in doubt.
    """
    failure = failed_answer(error)
    if isinstance(failure, OutcomeUnknown):
        return lost_question(f"Slack answered {code_of(error) or _status(error)}")
    return failure


def failed_check(error: SlackApiError) -> DeliveryError:
    """Return the error that an answer without ``ok: true`` to ``auth.test`` stands for."""
    failure = failed_answer(error)
    if isinstance(failure, TransientFailure):
        return failure
    words = f"Slack answered {code_of(error) or _status(error)}"
    if isinstance(failure, OutcomeUnknown) and (code_of(error) or _status(error) >= 500):
        return lost_question(words)
    return ConnectionFailure(f"{words}; check the connection's token and base_url")


def lost_question(said: str) -> DeliveryError:
    """Return the error for a look-up whose answer was lost or is no JSON: it may be repeated."""
    return TransientFailure(f"{said}; nothing was changed by asking")


def failed_request(error: URLError) -> DeliveryError:
    """Return the error for a request that did not get out whole: Slack cannot have acted on it."""
    import socket
    import ssl

    if isinstance(error.reason, socket.gaierror):
        return ConnectionFailure("the host of Slack is unknown; check the connection's address")
    if isinstance(error.reason, ssl.SSLError):
        return ConnectionFailure("no secure connection to Slack; check its certificate")
    return TransientFailure("Slack cannot be reached; nothing was sent")


def _status(error: SlackApiError) -> int:
    return int(getattr(error.response, "status_code", 0) or 0)


def _headers(error: SlackApiError) -> dict[str, str]:
    headers = getattr(error.response, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


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
