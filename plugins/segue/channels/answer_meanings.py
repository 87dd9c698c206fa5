"""What a vendor's answer means for a delivery, or that there is none: the tables as data.

Which error a failed call raises is looked up here, and nowhere else: ``HTTP`` for all channels and
live sources over HTTP, ``TOKENS`` for the endpoints of their access tokens, ``SLACK`` for the Web
API, ``SLACK_WEBHOOK`` for incoming webhooks, ``SMTP`` for mail servers. The first row that has an
answer counts, so that ``5xx`` stands for those that no row above it has. A row has an outcome for
each kind of call, or one for all of them.

What lies behind the rows:

- A 2xx with another body than was promised worked, nobody knows as what.
- A 403, 404, 405 or 410 may be of this contact (a firewall that dislikes a text, a contact whom the
  API does not know or may not write to) or of everybody (rights, a wrong host), and so may most of
  what a mail server refuses: the pass tells by what the others meet (``UnprovenRefusal``). A
  channel that knows better says that a status is of the contact (``of_the_contact``).
- A 403 that says when to come back is a limit: GitHub's secondary one is.
- 500 and 502 do not say whether anything was done: a server may stumble once the ticket is there,
  and a proxy loses answers as a gateway does (504). Where the vendor can be asked, doubt costs one
  question (and a few minutes, where the answer is no). Where it cannot, it would cost a person's
  time for each hiccup of the vendor, so there they are taken for "nothing was sent", as 503 is
  everywhere.
- Who asks for an access token has sent nothing to anybody yet, so there is no doubt: an endpoint
  that stumbles is asked again later, and one that refuses refuses everybody.
- A question changes nothing, so it may be repeated, and must never say "not there" by mistake. Its
  403, and Slack's ``missing_scope``, leave the connection whole: the user may create, but not list.
  Its 404 leaves it open what became of the call, and stops nobody else.

Followed: RFC 9110, section 15 (status codes); RFC 6749, section 5.2 (codes of a token endpoint);
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (403 or 429 with
retry-after, read 2026-11-30);
https://requests.readthedocs.io/en/latest/api/#exceptions,
https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html;
https://docs.slack.dev/reference/methods/chat.postMessage, users.lookupByEmail and auth.test
(errors); https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    Deferral,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)


class Call(StrEnum):
    """A kind of call: the same answer means something else to another kind."""

    EFFECT = "it may do something"  # and the vendor cannot be asked afterwards
    ASKABLE = "it may do something, and can be looked up"
    QUESTION = "what has become of a call"
    DETAILS = "a contact's details"
    ADDRESS = "whose an address is"
    FIXED_PLACE = "it may do something, where the workflow fixes the place"
    CHECK = "whether the connection works"
    ACCESS = "an access token"
    MAIL = "the sender"
    RCPT = "a recipient"
    FIXED_RCPT = "a recipient that the workflow fixes"
    DATA = "the message"


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

    It may name the ``vendor``, its ``answer``, and a ``detail`` of an answer that is none.
    ``advice`` is what to look at, where a refusal turns out to be the connection's.
    """

    error: type[DeliveryError]
    text: str = "{answer}"
    advice: str = ""

    def failure(self, *, pause: float | None = None, **words: object) -> DeliveryError:
        """Return the error; ``pause`` is how many seconds the vendor asks for, if it does."""
        text = self.text.format(**words)
        if issubclass(self.error, TransientFailure):
            return self.error(text, retry_after=pause)
        if self.error is UnprovenRefusal:
            return UnprovenRefusal(text, advice=self.advice)
        return self.error(text)


class Row:
    """What some answers mean: statuses, hundreds of them (``4xx``), codes, or ``Silence``.

    ``answers`` are parted by commas. It has an outcome for each kind of call, or one for all of
    them. A row ``without_code`` is not about an answer that has one, and one ``with_pause`` only
    about an answer that says when to come back.
    """

    def __init__(
        self,
        answers: str,
        *outcomes: Outcome,
        without_code: bool = False,
        with_pause: bool = False,
    ) -> None:
        self.answers = answers
        self.outcomes = outcomes
        self.without_code = without_code
        self.with_pause = with_pause

    def has(self, answer: int | Silence, code: str | None, *, pauses: bool) -> bool:
        """Tell whether this row is about an answer; ``pauses``: it says when to come back."""
        if (self.without_code and code) or (self.with_pause and not pauses):
            return False
        names = {str(answer), code, f"{code}".rpartition(".")[0] + ".x"}  # 4.3.x, of mail servers
        if isinstance(answer, int):  # LinkedIn answers 999
            names.add(f"{min(max(answer // 100, 2), 5)}xx")
        return not names.isdisjoint(self.answers.split(", "))


@dataclass(frozen=True, slots=True)
class Table:
    """What each answer means for each kind of call."""

    calls: Sequence[Call]
    rows: Sequence[Row]

    def outcome(
        self,
        call: Call,
        answer: int | Silence,
        code: str | None = None,
        *,
        pauses: bool = False,
    ) -> Outcome:
        """Return what an answer to a call means."""
        row = next(row for row in self.rows if row.has(answer, code, pauses=pauses))
        return row.outcomes[self.calls.index(call) if len(row.outcomes) > 1 else 0]


_contact = partial(Outcome, ContactFailure)
_later = partial(Outcome, TransientFailure)
_connection = partial(Outcome, ConnectionFailure)
_unknown = partial(Outcome, OutcomeUnknown)


def _by_proof(advice: str) -> Outcome:
    return Outcome(UnprovenRefusal, advice=advice)


REFUSED, LATER = _contact(), _later()

_NOT_MADE = _unknown("{answer}, which is not the answer to a creation")
_UNNAMED = _unknown("{vendor} answered {detail} with a body that does not say what was made")
_NO_JSON = _later("{vendor} answered {detail} with what is not JSON")
_UNCLEAR = _unknown("{vendor} answered {detail} with a body that does not tell")
_UNTOLD = _unknown("{answer} when asked what it has; check what its user may list")
_NO_DETAILS = _contact("{answer}, without details")
_RIGHTS = _by_proof("check what the connection's user may do")
_PLACE = _by_proof("check the connection's host, and the path")
_PERHAPS = _unknown("{answer}, perhaps after the effect")
_GATEWAY = _unknown("{answer}: a gateway passed the request on and got no answer")
_LOST = _unknown("the answer of {vendor} was lost: {detail}")
_UNHEARD = _later("{vendor} was asked what it has, and its answer was lost")
_LARGE = "the answer is larger than {detail} bytes"

_NO_TLS = Row(
    Silence.CERTIFICATE, _connection("no secure connection to {vendor}; check its certificate")
)
_UNREACHABLE = Row(Silence.UNREACHABLE, _later("{vendor} cannot be reached; nothing was sent"))

HTTP = Table(
    (Call.EFFECT, Call.ASKABLE, Call.QUESTION, Call.DETAILS),
    (
        Row("2xx", _NOT_MADE, _NOT_MADE, _UNTOLD, _NO_DETAILS),
        Row(Silence.NOT_JSON, _UNNAMED, _UNNAMED, _NO_JSON, _NO_JSON),
        Row(Silence.OTHER_JSON, _UNNAMED, _UNNAMED, _UNCLEAR, _NO_JSON),
        Row("3xx", _connection("{answer}, a redirect; write its target into the connection")),
        Row("401", _connection("{answer}; check the connection's login and password")),
        Row("402", _connection("{answer}; check the account's plan")),
        Row("403", LATER, with_pause=True),
        Row("403", _RIGHTS, _RIGHTS, _UNTOLD, _RIGHTS),
        Row("404, 405, 410", _PLACE),
        Row("408, 425, 429", LATER),
        Row("4xx", REFUSED, REFUSED, _UNTOLD, REFUSED),
        Row("500, 502", LATER, _PERHAPS, LATER, LATER),
        Row("504", _GATEWAY, _GATEWAY, LATER, LATER),
        Row("5xx", LATER),
        Row(
            Silence.UNKNOWN_HOST,
            _connection("the host of {vendor} is unknown; check the connection's host"),
        ),
        _NO_TLS,
        Row(Silence.ADDRESS, _connection("the connection's host or extra is wrong: {detail}")),
        Row(Silence.PROXY, _connection("the proxy towards {vendor} cannot be used")),
        Row(Silence.HANDSHAKE, _later("{vendor} did not agree on TLS in time; nothing was sent")),
        _UNREACHABLE,
        Row(Silence.LOST, _LOST, _LOST, _UNHEARD, _UNHEARD),
        Row(Silence.TOO_LARGE, *3 * [_unknown(_LARGE)], _contact(_LARGE)),
    ),
)

_POSTED = _unknown("{answer}; the message may have been posted")
_AGAIN = _later("{answer}; nothing was changed by asking")
_NO_API = _unknown("Slack's answer is not one of its API; check the base_url")
_TOKEN = _connection("{answer}; check the connection's token and base_url")
_SCOPES = _connection("{answer}; check the connection's token, its scopes and base_url")
_NO_SCOPE = _unknown("{answer}; check the token's scopes, and invite the app to the channel")
_INVITE = "check the channel, and invite the app to it"
_WHERE, _WRONG_PLACE = _by_proof(_INVITE), _connection(f"{{answer}}; {_INVITE}")
_OF_A_PROXY = _by_proof("check the connection's base_url and proxy")
_WHOSE = _by_proof("look the code up in Slack's documentation of chat.postMessage")
_SILENT = (
    Row(
        Silence.UNKNOWN_HOST,
        _connection("the host of {vendor} is unknown; check the connection's address"),
    ),
    _NO_TLS,
    _UNREACHABLE,
)

# An answer of the Web API without ``ok: true``. Its code tells; without one it is a proxy's, or not
# of the API. "It's possible some aspect of the operation succeeded before the error was raised" is
# said of fatal_error and internal_error.
SLACK = Table(
    (Call.ASKABLE, Call.FIXED_PLACE, Call.QUESTION, Call.ADDRESS, Call.CHECK),
    (
        Row("fatal_error, internal_error", _POSTED, _POSTED, LATER, _AGAIN, _AGAIN),
        Row("500, 502, 504", _POSTED, _POSTED, LATER, _AGAIN, _AGAIN, without_code=True),
        Row(
            "429, 5xx, rate_limited, ratelimited, service_unavailable, "
            "request_timeout, "  # the body arrived cut short
            "org_login_required, team_added_to_org, "  # the workspace is being migrated
            "external_channel_migrating, "
            "message_limit_exceeded",  # of the workspace
            LATER,
        ),
        Row(
            "401, account_inactive, invalid_auth, not_authed, token_expired, token_revoked",
            _SCOPES,
            _SCOPES,
            _TOKEN,
            _SCOPES,
            _TOKEN,
        ),
        # of the errors that chat.postMessage documents, the others that are not about one message
        Row(
            "access_denied, accesslimited, deprecated_endpoint, ekm_access_denied, "
            "enterprise_is_restricted, method_deprecated, missing_scope, no_permission, "
            "metadata_must_be_sent_from_app, not_allowed_token_type, team_access_not_granted, "
            "team_not_found, two_factor_setup_required, unknown_method",
            _SCOPES,
            _SCOPES,
            _NO_SCOPE,
            _SCOPES,
            _TOKEN,
        ),
        # those that are about the place
        Row(
            "channel_not_found, is_archived, messages_tab_disabled, not_in_channel, "
            "restricted_action, restricted_action_non_threadable_channel, "
            "restricted_action_read_only_channel, restricted_action_thread_only_channel",
            _WHERE,
            _WRONG_PLACE,
            _NO_SCOPE,
            _WHERE,
            _TOKEN,
        ),
        # and those that are about one message
        Row(
            "invalid_attachments, invalid_blocks, invalid_blocks_format, markdown_text_conflict, "
            "metadata_too_large, msg_blocks_too_long, msg_too_long, no_text, too_many_attachments",
            REFUSED,
            REFUSED,
            _NO_SCOPE,
            REFUSED,
            _TOKEN,
        ),
        Row("2xx", _NO_API, _NO_API, _AGAIN, _AGAIN, _TOKEN, without_code=True),
        Row("3xx, 4xx", _OF_A_PROXY, _OF_A_PROXY, _AGAIN, _OF_A_PROXY, _TOKEN, without_code=True),
        Row("2xx, 3xx, 4xx", _WHOSE, _WHOSE, _NO_SCOPE, _WHOSE, _TOKEN),
        Row(Silence.LOST, _unknown(), _unknown(), _AGAIN, _AGAIN, _AGAIN),
        *_SILENT,
    ),
)

# An answer other than ``ok``; its code is plain text. ``rollup_error`` is "something strange and
# unusual".
SLACK_WEBHOOK = Table(
    (Call.EFFECT,),
    (
        Row("2xx, 3xx", _unknown("{answer}, which is not the answer of a webhook; check its URL")),
        Row("504, rollup_error", _POSTED),
        Row("408, 429, 5xx", LATER),
        Row(
            "401, "
            # of the documented errors, those that are about the webhook or its channel
            "action_prohibited, channel_is_archived, channel_not_found, invalid_token, "
            "no_active_hooks, no_service, no_service_id, no_team, "
            "posting_to_general_channel_denied, team_disabled",
            _connection("{answer}; check the webhook in Slack, and its URL"),
        ),
        Row("403, 404, 405, 410", _by_proof("check the webhook in Slack, and its URL")),
        Row("4xx", REFUSED),
        Row(Silence.LOST, _unknown()),
        *_SILENT,
    ),
)

# The answer of a token endpoint other than a token. ``temporarily_unavailable`` and the like are no
# codes of RFC 6749 there, and are sent with a 400 all the same.
_NO_TOKEN = _connection("{vendor} answered {detail} without a token; check `endpoint`")
_ENDPOINT = _connection("{answer}; check `endpoint`, and the client's id and secret")
_GRANT = _connection(
    "{answer}: the refresh token, or the assertion, is not valid (any more); a refresh token that "
    "rotates is valid once, and Segue cannot write its successor into the connection"
)
_NO_ENDPOINT = _connection("{vendor} cannot be asked: {detail}; check `endpoint`")
_TOKEN_LATER = _later("{vendor} did not answer; nothing was sent")
TOKENS = Table(
    (Call.ACCESS,),
    (
        Row("408, 425, 429, 5xx, server_error, slow_down, temporarily_unavailable", LATER),
        Row("invalid_grant", _GRANT),
        Row("2xx, 3xx, 4xx", _ENDPOINT),
        Row(f"{Silence.NOT_JSON}, {Silence.OTHER_JSON}, {Silence.TOO_LARGE}", _NO_TOKEN),
        Row(
            f"{Silence.UNKNOWN_HOST}, {Silence.CERTIFICATE}, {Silence.ADDRESS}, {Silence.PROXY}",
            _NO_ENDPOINT,
        ),
        Row(f"{Silence.HANDSHAKE}, {Silence.UNREACHABLE}, {Silence.LOST}", _TOKEN_LATER),
    ),
)

_MISSING_LOGIN = _connection("{answer}; check the connection's login, and `from`")
_OF_THE_SENDER = _by_proof("check the connection's login, and `from`")
_OF_A_COPY = _by_proof("check the address in the workflow, the connection's login, and `from`")
_OF_THE_MESSAGE = _by_proof("check the connection's login, `from`, and the server's limits")
_NOT_NOW = Outcome(Deferral)

# A reply to one command of a mail, by its enhanced status code (RFC 3463) where it has one. Only
# what is surely said of a mailbox is the recipient's: servers refuse a sender or a login at RCPT
# (Postfix, as ``smtpd_delay_reject`` is by default: 5.7.1, and 5.1.0, 5.1.7 and 5.1.8 of a sender)
# or after the content (Exchange: 5.7.60 and 5.2.252, may not send as; SES: 554, not verified), and
# daily limits as well (Gmail: 5.4.5; Exchange: 5.1.90). Without such a code, as with Exim, a 550
# may be either. For the time being it is the recipient's alone, as greylisting is, unless the code
# says that the system, the network or the conversation is meant.
SMTP = Table(
    (Call.MAIL, Call.RCPT, Call.FIXED_RCPT, Call.DATA),
    (
        Row("530, 534, 535, 538", _MISSING_LOGIN),
        Row(
            "5.1.1, 5.1.2, 5.1.3, 5.1.4, 5.1.6, 5.1.10, 5.2.1, 5.2.2, 5.2.3, 5.2.4",
            *(_OF_THE_SENDER, REFUSED, _OF_A_COPY, REFUSED),
        ),
        Row("5xx", _OF_THE_SENDER, _OF_THE_SENDER, _OF_A_COPY, _OF_THE_MESSAGE),
        Row("421, 4.3.x, 4.4.x, 4.5.x", LATER),
        Row("4xx", LATER, _NOT_NOW, _NOT_NOW, LATER),
        Row("2xx, 3xx", LATER),  # not the one that was to come
    ),
)
