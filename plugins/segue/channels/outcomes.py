"""What a vendor's answer means for a delivery, or that there is none: the tables as data.

Which error a failed call raises is looked up here, and nowhere else: ``HTTP`` for all channels and
live sources over HTTP, ``SLACK`` for the Web API, ``SLACK_WEBHOOK`` for incoming webhooks. The
first row that has an answer counts, so that ``5xx`` stands for those that no row above it has. A
row has an outcome for each kind of call, or one for all of them.

What lies behind the rows:

- A 2xx with another body than was promised worked, nobody knows as what.
- 404 and 410 are of the connection where the path is fixed, because no contact can cause them; a
  channel whose path names a contact says that they are of the contact (``of_the_contact``).
- 500 and 502 do not say whether anything was done: a server may stumble once the ticket is there,
  and a proxy loses answers as a gateway does (504). Where the vendor can be asked, doubt costs one
  question (and a few minutes, where the answer is no). Where it cannot, it would cost a person's
  time for each hiccup of the vendor, so there they are taken for "nothing was sent", as 503 is
  everywhere.
- A question changes nothing, so it may be repeated, and must never say "not there" by mistake. Its
  403, and Slack's ``missing_scope``, leave the connection whole: the user may create, but not list.

Followed: RFC 9110, section 15 (status codes);
https://requests.readthedocs.io/en/latest/api/#exceptions,
https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html;
https://docs.slack.dev/reference/methods/chat.postMessage, users.lookupByEmail and auth.test
(errors); https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)

SAID = "{said}"


class Call(StrEnum):
    """A kind of call: the same answer means something else to another kind."""

    EFFECT = "it may do something"  # and the vendor cannot be asked afterwards
    ASKABLE = "it may do something, and can be looked up"
    QUESTION = "what has become of a call"
    DETAILS = "a contact's details"
    ADDRESS = "whose an address is"
    CHECK = "whether the connection works"


class Silence(StrEnum):
    """What there may be in place of a status: no answer, or one that cannot be read."""

    UNKNOWN_HOST = "unknown host"
    UNREACHABLE = "refused or no connection in time"
    CERTIFICATE = "no TLS"
    HANDSHAKE = "TLS is broken off"
    PROXY = "no proxy"
    ADDRESS = "a URL or a header that cannot be"
    LOST = "a lost answer"  # or one that takes too long to arrive
    TOO_LARGE = "too large"
    NOT_JSON = "2xx that is not JSON"
    OTHER_JSON = "2xx with other JSON"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer comes to: an error, and its text, a format.

    It may name the ``vendor``, what it ``said``, and a ``detail`` of an answer that is none.
    """

    error: type[DeliveryError]
    text: str

    def failure(self, *, pause: float | None = None, **words: object) -> DeliveryError:
        """Return the error; ``pause`` is how many seconds the vendor asks for, if it does."""
        text = self.text.format(**words)
        if self.error is TransientFailure:
            return TransientFailure(text, retry_after=pause)
        return self.error(text)


@dataclass(frozen=True, slots=True)
class Row:
    """What some answers mean: statuses, hundreds of them (``4xx``), codes, or ``Silence``."""

    answers: str  # parted by commas
    outcomes: Sequence[Outcome]  # by kind of call, or one for all of them
    without_code: bool = False  # it has no answer with a code

    def has(self, answer: int | Silence, code: str | None) -> bool:
        """Tell whether this row is about an answer."""
        if self.without_code and code:
            return False
        names = {str(answer), code}
        if isinstance(answer, int):  # LinkedIn answers 999
            names.add(f"{min(max(answer // 100, 2), 5)}xx")
        return not names.isdisjoint(self.answers.split(", "))


@dataclass(frozen=True, slots=True)
class Table:
    """What each answer means for each kind of call."""

    calls: Sequence[Call]
    rows: Sequence[Row]

    def outcome(self, call: Call, answer: int | Silence, code: str | None = None) -> Outcome:
        """Return what an answer to a call means."""
        row = next(row for row in self.rows if row.has(answer, code))
        return row.outcomes[self.calls.index(call) if len(row.outcomes) > 1 else 0]


def _row(answers: str, *outcomes: Outcome) -> Row:
    return Row(answers, outcomes)


def _codeless(answers: str, *outcomes: Outcome) -> Row:
    return Row(answers, outcomes, without_code=True)


def _contact(text: str = SAID) -> Outcome:
    return Outcome(ContactFailure, text)


def _later(text: str = SAID) -> Outcome:
    return Outcome(TransientFailure, text)


def _connection(text: str) -> Outcome:
    return Outcome(ConnectionFailure, text)


def _unknown(text: str = SAID) -> Outcome:
    return Outcome(OutcomeUnknown, text)


REFUSED, LATER = _contact(), _later()

_NOT_MADE = _unknown("{said}, which is not the answer to a creation")
_UNNAMED = _unknown("{vendor} answered {detail} with a body that does not say what was made")
_NO_JSON = _later("{vendor} answered {detail} with what is not JSON")
_UNCLEAR = _unknown("{vendor} answered {detail} with a body that does not tell")
_UNTOLD = _unknown("{said} when asked what it has; check what its user may list")
_NO_DETAILS = _contact("{said}, without details")
_RIGHTS = _connection("{said}; check what the connection's user may do")
_PERHAPS = _unknown("{said}, perhaps after the effect")
_GATEWAY = _unknown("{said}: a gateway passed the request on and got no answer")
_LOST = _unknown("the answer of {vendor} was lost: {detail}")
_UNHEARD = _later("{vendor} was asked what it has, and its answer was lost")
_LARGE = "the answer is larger than {detail} bytes"

_NO_TLS = _row(
    Silence.CERTIFICATE, _connection("no secure connection to {vendor}; check its certificate")
)
_UNREACHABLE = _row(Silence.UNREACHABLE, _later("{vendor} cannot be reached; nothing was sent"))

HTTP = Table(
    (Call.EFFECT, Call.ASKABLE, Call.QUESTION, Call.DETAILS),
    (
        _row("2xx", _NOT_MADE, _NOT_MADE, _UNTOLD, _NO_DETAILS),
        _row(Silence.NOT_JSON, _UNNAMED, _UNNAMED, _NO_JSON, _NO_JSON),
        _row(Silence.OTHER_JSON, _UNNAMED, _UNNAMED, _UNCLEAR, _NO_JSON),
        _row("3xx", _connection("{said}, a redirect; write its target into the connection")),
        _row("401", _connection("{said}; check the connection's login and password")),
        _row("402", _connection("{said}; check the account's plan")),
        _row("403", _RIGHTS, _RIGHTS, _UNTOLD, _RIGHTS),
        _row("404, 405, 410", _connection("{said}; check the connection's host")),
        _row("408, 425, 429", LATER),
        _row("4xx", REFUSED, REFUSED, _UNTOLD, REFUSED),
        _row("500, 502", LATER, _PERHAPS, LATER, LATER),
        _row("504", _GATEWAY, _GATEWAY, LATER, LATER),
        _row("5xx", LATER),
        _row(
            Silence.UNKNOWN_HOST,
            _connection("the host of {vendor} is unknown; check the connection's host"),
        ),
        _NO_TLS,
        _row(Silence.ADDRESS, _connection("the connection's host or extra is wrong: {detail}")),
        _row(Silence.PROXY, _connection("the proxy towards {vendor} cannot be used")),
        _row(Silence.HANDSHAKE, _later("{vendor} did not agree on TLS in time; nothing was sent")),
        _UNREACHABLE,
        _row(Silence.LOST, _LOST, _LOST, _UNHEARD, _UNHEARD),
        _row(Silence.TOO_LARGE, *3 * [_unknown(_LARGE)], _contact(_LARGE)),
    ),
)

_POSTED = _unknown("{said}; the message may have been posted")
_AGAIN = _later("{said}; nothing was changed by asking")
_NO_API = _unknown("Slack's answer is not one of its API; check the base_url")
_TOKEN = _connection("{said}; check the connection's token and base_url")
_SCOPES = _connection("{said}; check the connection's token, its scopes and base_url")
_NO_SCOPE = _unknown("{said}; check the token's scopes, and invite the app to the channel")
_SLACKS_HOST = _row(
    Silence.UNKNOWN_HOST,
    _connection("the host of {vendor} is unknown; check the connection's address"),
)

# An answer of the Web API without ``ok: true``. Its code tells; without one it is a proxy's, or not
# of the API. "It's possible some aspect of the operation succeeded before the error was raised" is
# said of fatal_error and internal_error.
SLACK = Table(
    (Call.ASKABLE, Call.QUESTION, Call.ADDRESS, Call.CHECK),
    (
        _row("fatal_error, internal_error", _POSTED, LATER, _AGAIN, _AGAIN),
        _codeless("500, 502, 504", _POSTED, LATER, _AGAIN, _AGAIN),
        _row(
            "429, 5xx, rate_limited, ratelimited, service_unavailable, "
            "request_timeout, "  # the body arrived cut short
            "org_login_required, team_added_to_org",  # the workspace is being migrated
            LATER,
        ),
        _row(
            "401, 403, 404, "
            "account_inactive, invalid_auth, not_authed, token_expired, token_revoked",
            _SCOPES,
            _TOKEN,
            _SCOPES,
            _TOKEN,
        ),
        # of the errors that chat.postMessage documents, the others that are not about one message
        _row(
            "access_denied, accesslimited, deprecated_endpoint, ekm_access_denied, "
            "enterprise_is_restricted, method_deprecated, missing_scope, no_permission, "
            "not_allowed_token_type, two_factor_setup_required, unknown_method",
            _SCOPES,
            _NO_SCOPE,
            _SCOPES,
            _TOKEN,
        ),
        _codeless("2xx", _NO_API, _AGAIN, _AGAIN, _TOKEN),
        _codeless("3xx, 4xx", REFUSED, _AGAIN, REFUSED, _TOKEN),
        _row("2xx, 3xx, 4xx", REFUSED, _NO_SCOPE, REFUSED, _TOKEN),
        _row(Silence.LOST, _unknown(), _AGAIN, _AGAIN, _AGAIN),
        _SLACKS_HOST,
        _NO_TLS,
        _UNREACHABLE,
    ),
)

# An answer other than ``ok``; its code is plain text. ``rollup_error`` is "something strange and
# unusual".
SLACK_WEBHOOK = Table(
    (Call.EFFECT,),
    (
        _row("2xx, 3xx", _unknown("{said}, which is not the answer of a webhook; check its URL")),
        _row("504, rollup_error", _POSTED),
        _row("408, 429, 5xx", LATER),
        _row(
            "401, 403, 404, 405, 410, "
            # of the documented errors, those that are about the webhook or its channel
            "action_prohibited, channel_is_archived, channel_not_found, invalid_token, "
            "no_active_hooks, no_service, no_service_id, no_team, "
            "posting_to_general_channel_denied, team_disabled",
            _connection("{said}; check the webhook in Slack, and its URL"),
        ),
        _row("4xx", REFUSED),
        _row(Silence.LOST, _unknown()),
        _SLACKS_HOST,
        _NO_TLS,
        _UNREACHABLE,
    ),
)
