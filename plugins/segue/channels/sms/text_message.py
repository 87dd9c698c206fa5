"""Text messages (SMS), through Twilio's Programmable Messaging and the HTTP provider's hook.

Followed:
    https://www.twilio.com/docs/messaging/api/message-resource (create: To, From or
    MessagingServiceSid, Body of up to 1,600 characters; list: From, PageSize up to 1,000,
    next_page_uri, newest first)
    https://github.com/twilio/twilio-oai, spec/json/twilio_api_v2010.json (the same as OpenAPI; its
    examples have ``Tags`` in a request and ``tags`` in each message, its schemas do not)
    https://www.twilio.com/docs/bulk-messaging/tags (keys of up to 128 characters, values of 256;
    the page is of another API, and the only one on tags)
    https://www.twilio.com/docs/usage/requests-to-twilio (basic authentication: account SID and auth
    token, or an API key's SID and secret)
    https://www.twilio.com/docs/usage/twilios-response (errors: code, message, more_info, status)
    https://www.twilio.com/docs/api/errors (20003, 20429, 21211, 21606, 21610, 21611, 21614 …)
    https://www.twilio.com/docs/messaging/guides/understanding-twilio-rate-limits-message-queues
    and https://www.twilio.com/docs/api/errors/21611 (one segment a second for a long code in the
    US; Twilio queues what is beyond for ten hours)

The connection is of type HTTP: host ``https://api.twilio.com``, login the account's SID, password
its auth token; or login and password of an API key, and ``account_sid`` in the extra. Its extra may
give ``segue_rate``, of each sender.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from segue.channels.addressing import audience_is_missing, is_template
from segue.channels.airflow_connections import find_connection
from segue.channels.http.answers import ANOTHER_SHAPE, CallRefused, CallUnproven
from segue.channels.http.calls import HttpCalls, open_calls
from segue.channels.http.sender import HttpSender
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.channels.sms.listed_messages import (
    DIGEST,
    TAG,
    Listed,
    digest_of,
    ends_before,
    read_page,
    receipt_of,
    receipts_of,
)
from segue.channels.sms.phone_numbers import ALLOWED_SENDERS, read_number, read_sender
from segue.contracts.channel import (
    Audience,
    Channel,
    Finding,
    Limit,
    NoAddress,
    OptedOut,
    PartlyFound,
    Receipt,
    Tried,
)
from segue.contracts.templates import Line, Text, render
from segue.documents import Location, ProblemsFound
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)

LONGEST_TEXT = 1_600  # characters, of which an emoji is two: SMS counts UTF-16
RATE = "1/second"  # of a long code in the US, the slowest sender
PAGE_SIZE, MOST_PAGES = 1_000, 30  # of a list; what is beyond is not looked at
ACCOUNT_SID = "account_sid"  # the key in a connection's extra

_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_FORM = "application/x-www-form-urlencoded"
_CODE = "error-"  # before a number, so that it may be shown: a bare one could be a phone's

OPTED_OUT = frozenset({21610})  # they answered STOP
OF_THE_NUMBER = frozenset({21211, 21214, 21217, 21614})  # no such number, or not a mobile one
OF_THE_SENDER = frozenset({21212, 21603, 21606, 21659, 21660, 21701, 21703, 21704, 21705})
QUEUE_IS_FULL = frozenset({21611})
# a region that the account may not write to; a number that a trial account has not verified: of one
# contact, or of all of them
OF_THE_ACCOUNT = frozenset({21408, 21608})


class TextMessage(Channel):
    """Send a text message to the contact, or to somebody of the team.

    ``to`` is the contact's ``phone`` where it is left out, the team's where it is a plain number; a
    template must say whom it finds (``audience: contact`` or ``team``). It is a number in E.164
    (``+447700900123``); a contact without one is skipped: no country is guessed. The message comes
    ``from`` a number, a short code or a name, or from whichever sender a ``messaging_service``
    chooses. ``text`` has up to 1,600 characters, more is a failure.

    A contact who answered STOP to the sender is skipped (``opted_out``). Delivered means that
    Twilio took the message: what a network makes of it afterwards is in Twilio's logs.

    Twilio sends one segment a second from a long code in the US, and queues what is beyond; the
    connection's ``segue_rate`` is of messages, and of each sender.

    A delivery is doubtful when the answer was lost. Creating is not idempotent: the message carries
    the delivery's key as a tag, and is looked for in the list of messages made since then. Where an
    account shows no tags, a message to the contact is known by its number and text. What is not
    found is *uncertain*: nothing says how soon a message is listed.
    """

    name: ClassVar[str] = "text_message"
    reads: ClassVar[frozenset[str]] = frozenset({"phone"})
    longest_call: ClassVar[float] = 120.0
    can_be_asked: ClassVar[bool] = True  # a message carries the key as a tag

    connection: str = "twilio_default"
    to: Line | None = None
    audience: Literal["contact", "team"] | None = None
    sender: Line | None = Field(default=None, alias="from")
    messaging_service: str | None = None
    text: Text

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._to_problems(), *self._sender_problems()]
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def address_field(self) -> str | None:
        """The contact's own, where ``to`` is left out."""
        return "phone" if self.to is None else None

    @property
    def addressed_to(self) -> Audience:
        """The contact where ``to`` is left out or ``audience`` says so, else the team."""
        return Audience(self.audience or ("contact" if self.to is None else "team"))

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message for one contact, ``to`` included; raise NoAddress if there is none."""
        number = self._number(variables)
        message = {**super().render(variables), "to": number}
        if "from" in message:
            try:
                message["from"] = read_sender(message["from"])
            except ValueError as error:
                raise ContactFailure(f"from: {error}") from None
        if not message["text"].strip():
            raise ContactFailure("text: the message is empty")
        if len(message["text"].encode("utf-16-le")) // 2 > LONGEST_TEXT:
            raise ContactFailure(f"text: more than {LONGEST_TEXT} characters")
        return message

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the sender, which narrows Twilio's list, and what the message is known by."""
        sender = {"from": message["from"]} if "from" in message else {}
        if self.addressed_to is not Audience.CONTACT:
            return sender
        return {**sender, DIGEST: digest_of(message["to"], message["text"])}

    def connect(self) -> TextMessages:
        """Open a session; nothing is sent yet."""
        limits = limits_of(self.connection, default=RATE)
        calls = open_calls(
            "Twilio",
            self.connection,
            codes=_codes,
            can_be_asked=self.can_be_asked,
            own=(ACCOUNT_SID,),
        )
        return TextMessages(self, calls, account_of(self.connection), limits)

    def _number(self, variables: Mapping[str, Any]) -> str:
        try:
            phone = str(variables["contact"]["phone"]) if self.to is None else None
            return read_number(render(self.to, variables) if self.to else phone or "")
        except KeyError:
            raise NoAddress("to: the contact has no phone number") from None
        except ContactFailure as error:
            raise self.unusable_number(f"to: {error}") from None
        except ValueError as error:
            raise self.unusable_number(f"to: {error}") from None

    def unusable_number(self, message: str) -> ContactFailure:
        """Return what a number means that cannot be written to: a contact without is skipped."""
        kind = NoAddress if self.addressed_to is Audience.CONTACT else ContactFailure
        return kind(message)

    def _to_problems(self) -> Iterator[tuple[Location, str]]:
        if self.to is None:
            if self.audience == "team":
                text = "without 'to' the contact is addressed; give 'to', or leave 'audience' out"
                yield ("audience",), text
        elif is_template(self.to):
            if self.audience is None:
                yield audience_is_missing("to")
        else:
            if self.audience == "contact":
                text = "a plain number in 'to' is the team's; write 'audience: team', or leave it"
                yield ("audience",), text
            try:
                read_number(self.to.source)
            except ValueError as error:
                expectation = "a number such as +15005550006"
                yield ("to",), f"found {self.to.source!r}; allowed: {expectation} ({error})"

    def _sender_problems(self) -> Iterator[tuple[Location, str]]:
        if (self.sender is None) == (self.messaging_service is None):
            which = "neither" if self.sender is None else "both"
            yield (), f"found {which} of 'from' and 'messaging_service'; exactly one is needed"
        if self.messaging_service and not _SERVICE.fullmatch(self.messaging_service):
            expectation = "a messaging service's SID: MG and 32 hexadecimal digits"
            yield (
                ("messaging_service",),
                f"found {self.messaging_service!r}; allowed: {expectation}",
            )
        if self.sender is not None and not is_template(self.sender):
            try:
                read_sender(self.sender.source)
            except ValueError:
                yield ("from",), f"found {self.sender.source!r}; allowed: {ALLOWED_SENDERS}"


class TextMessages(HttpSender):
    """An open connection to one Twilio account."""

    def __init__(
        self, channel: TextMessage, calls: HttpCalls, account: str, limits: Sequence[Limit]
    ) -> None:
        super().__init__(calls, limits)
        self._channel = channel
        self._path = f"/2010-04-01/Accounts/{account}/Messages.json"

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Send one text message."""
        try:
            response = self._calls.call(
                "POST",
                self._path,
                headers={"Content-Type": _FORM},
                body=urlencode(form_of(message, key)).encode(),
            )
        except (CallRefused, CallUnproven) as error:
            raise self._failure_of(error) from None
        try:
            return receipt_of(response.json())
        except ANOTHER_SHAPE:
            raise OutcomeUnknown(
                f"Twilio answered {response.status_code} with a body that is not a message"
            ) from None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look for the messages among those made since; raise PartlyFound if one is missing."""
        begin = look_from(since)
        receipts: dict[str, Receipt] = {}
        for sender in sorted({trace.get("from", "") for trace in traces.values()}):
            own = {key: trace for key, trace in traces.items() if trace.get("from", "") == sender}
            receipts |= receipts_of(list(self._made_since(begin, sender)), own, begin)
        if receipts.keys() < traces.keys():
            raise PartlyFound(
                "Twilio lists no message with the delivery's key as its tag, nor with its number "
                "and text; it may not be listed yet",
                receipts,
            )
        return receipts

    def check(self, needs: Set[str]) -> Finding:
        """Ask for one message: an API key may do that, and not ask about the account."""
        self._calls.ask(self._path, {"PageSize": "1"}, read=read_page)
        return Finding(Tried.OK, "its messages can be listed")

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the sender's limit: a number, a short code or a messaging service has its own."""
        sender = message.get("from") or message["messaging_service"]
        return [Limit(f"{one.scope} {sender}", one.count, one.seconds) for one in self._limits]

    def _failure_of(self, error: CallRefused | CallUnproven) -> DeliveryError:
        """Return what a refusal means, by Twilio's code."""
        codes = {int(code.removeprefix(_CODE)) for code in error.codes}
        if codes & OPTED_OUT:
            return OptedOut(error.answer)
        if codes & OF_THE_NUMBER:
            return self._channel.unusable_number(error.answer)
        if codes & QUEUE_IS_FULL:
            return TransientFailure(error.answer)
        if codes & OF_THE_ACCOUNT:
            advice = "check the account's geographic permissions, and whether it is a trial account"
            return UnprovenRefusal(error.answer, advice=advice)
        if codes & OF_THE_SENDER:
            return self._refused_sender(error.answer)
        return error

    def _refused_sender(self, answer: str) -> DeliveryError:
        """Return what it means that a sender is refused: one from a template may be a contact's."""
        advice = "check the action's sender in Twilio's console"
        sender = self._channel.sender
        if sender and is_template(sender):
            return UnprovenRefusal(answer, advice=advice)
        return ConnectionFailure(f"{answer}; {advice}")

    def _made_since(self, begin: datetime, sender: str) -> Iterator[Listed]:
        """Yield the messages since ``begin``, newest first, as far as they are shown."""
        query = {"PageSize": str(PAGE_SIZE)} | ({"From": sender} if sender else {})
        for _ in range(MOST_PAGES):
            messages, next_page = self._calls.ask(self._path, query, read=read_page)
            yield from messages
            if next_page is None or ends_before(messages, begin):
                return
            query = next_page


def form_of(message: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return a rendered message as Twilio's form."""
    sender = (
        {"From": message["from"]}
        if "from" in message
        else {"MessagingServiceSid": message["messaging_service"]}
    )
    return {
        "To": message["to"],
        **sender,
        "Body": message["text"],
        "Tags": json.dumps({TAG: key}),
    }


def account_of(connection: str) -> str:
    """Return the SID of the account: the login, or in the extra where that is an API key's."""
    settings = find_connection(connection)
    account = settings.extra_dejson.get(ACCOUNT_SID) or settings.login or ""
    if not _SID.fullmatch(str(account)):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs the account's SID (AC…) as its login, or "
            f"as {ACCOUNT_SID!r} in its extra where the login is an API key's"
        )
    return str(account)


def _codes(answer: Any) -> Iterator[object]:
    """Yield the error's number, as a word: ``error-21610``."""
    yield f"{_CODE}{int(answer['code'])}"
