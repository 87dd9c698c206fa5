"""Slack messages to channels and to people, through ``chat.postMessage``.

Followed:
    https://docs.slack.dev/reference/methods/chat.postMessage (arguments, errors, 40,000 characters;
    one message a second and channel, several hundred a minute and workspace; a person's id in
    ``channel`` posts into the direct messages with them)
    https://docs.slack.dev/reference/methods/users.lookupByEmail (users_not_found; 50 a minute)
    https://docs.slack.dev/reference/methods/conversations.open (gives the same direct messages
    each time, by a person's id)
    https://docs.slack.dev/reference/methods/conversations.history (by id, never by name; only where
    the app is a member; include_all_metadata; cursors)
    https://docs.slack.dev/reference/methods/conversations.list (types, cursors)
    https://docs.slack.dev/reference/objects/conversation-object (name, previous_names)
    https://docs.slack.dev/messaging/message-metadata
    https://docs.slack.dev/messaging/formatting-message-text (what is escaped, unfurling)
    https://docs.slack.dev/reference/methods/auth.test
    https://docs.slack.dev/legacy/legacy-authentication/legacy-oauth-scopes (X-OAuth-Scopes)
    https://airflow.apache.org/docs/apache-airflow-providers-slack/stable/connections/slack.html

The connection is of type Slack API: the password is a bot token with the scope ``chat:write``
(and ``chat:write.public`` for channels the app is not a member of; ``users:read.email`` for
``email``). To look a message up again it needs ``channels:history`` (private channels:
``groups:history``), membership of the channel, and, where ``channel`` is a name,
``channels:read`` and ``groups:read``; for a person ``im:write`` and ``im:history``. Its extra may
give ``timeout``, ``base_url``, ``proxy`` and ``segue_rate``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import model_validator

from segue.channels.addressing import is_template
from segue.channels.airflow_connections import use_connection
from segue.channels.answer_meanings import Call
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.channels.slack.blocks import MOST_BLOCKS, SlackText, content_of
from segue.channels.slack.calls import SlackApi, silent
from segue.channels.slack.transport import hold_to_slack
from segue.contracts.channel import (
    Audience,
    Finding,
    Limit,
    NoAddress,
    Receipt,
    Sender,
    Tried,
)
from segue.contracts.templates import Line, Template
from segue.documents import Location, ProblemsFound
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    SettingsError,
    TransientFailure,
)

EVENT_TYPE = "segue_delivery"
RATE = "300/minute"  # of the workspace: "several hundred"
SCOPES = "x-oauth-scopes"  # the header that tells what a token may do
# what a token may lack and still post: messages in doubt cannot be looked up then
TO_LOOK_UP = frozenset(
    {"channels:history", "channels:read", "groups:read", "im:history", "im:write"}
)
CHANNEL_SECONDS = 1.0  # between two messages to one channel
LOOK_UPS = 50  # of addresses in a minute: "tier 3"
CHANNEL_ID = re.compile(r"[CDG][A-Z0-9]{8,}")
CHANNEL = re.compile(r"[CDG][A-Z0-9]{8,}|#[^\s#@<>&,]{1,80}")  # that a tester may name
USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")
PERSON = re.compile(r"[UW][A-Z0-9]{8,}")  # where channels' names may stand, too
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
UNKNOWN_ADDRESS = "users_not_found"
PLACES = ("channel", "user", "email")


class SlackMessage(SlackText):
    """Post a message to a channel or a person.

    It goes to one of: ``channel``, a name (``#escalations``) or an id; ``user``, a person's id;
    ``email``, a person's address, which Slack turns into the id. The team reads it. Where it may be
    the contact, ``audience: contact`` leaves out who opted out: a template in ``user`` or ``email``
    must say whom it finds, and a channel may be one that is shared with customers. An address
    that Slack does not know skips the contact whose it is (``no_address``), and fails the message
    to anybody else.

    What expressions print in ``text`` and ``blocks`` is escaped, so no contact can mention or link:
    an address is a link only where the author puts it in ``<…>``. Links are not unfurled.

    Slack allows about one message a second and channel and several hundred a minute and workspace,
    and answers 429 with Retry-After beyond; 50 addresses a minute.

    A delivery is doubtful when the answer was lost, or was an internal error of Slack's that may
    have come after the message. ``chat.postMessage`` is not idempotent: the message carries the
    delivery's key as metadata, and is looked for in the history of the channel, and of every other
    channel that ever had its name, or of the direct messages with the person. *Uncertain* is what
    is left: the token lacks a scope, or the app is not in the channel. A message that somebody has
    deleted in the meantime is posted again.
    """

    name: ClassVar[str] = "slack_message"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 120.0
    can_be_asked: ClassVar[bool] = True  # a message carries the key in its metadata

    connection: str = "slack_default"
    channel: Line | None = None
    user: Line | None = None
    email: Line | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        places = [place for place in PLACES if getattr(self, place) is not None]
        expectation = f"allowed: one of {', '.join(PLACES)}"
        if len(places) != 1:
            field, what = (places[1], " and ".join(places)) if places else ("channel", "none")
            raise ProblemsFound([((field,), f"found {what}; {expectation}")])
        problems = list(_place_problems(places[0], getattr(self, places[0])))
        if problems:
            raise ProblemsFound(problems)
        self.require_audience("user", self.user)
        self.require_audience("email", self.email)
        return self

    @property
    def needs(self) -> Set[str]:
        """The scopes to post and to look up; a channel's name is looked up in the lists."""
        if self.channel is None:
            person = {"chat:write", "im:history", "im:write"}
            return person if self.email is None else {*person, "users:read.email"}
        if CHANNEL_ID.fullmatch(self.channel.source):
            return {"chat:write", "channels:history"}
        return {"chat:write", "channels:history", "channels:read", "groups:read"}

    def tester(self, to: str) -> str:
        """Return another channel, or a person's id or address."""
        if not any(kind.fullmatch(to) for kind in (CHANNEL, USER_ID, EMAIL)):
            raise SettingsError(
                f"{to!r} is no place in Slack; allowed: a channel such as #tests, the id of a "
                "channel or a person such as U0123456789, or a person's email address"
            )
        return to

    def readdressed(self, message: Mapping[str, Any], tester: str) -> dict[str, Any]:
        """Return the message for another channel, or for a person."""
        kinds = {"channel": CHANNEL, "user": USER_ID, "email": EMAIL}
        place = next(name for name, kind in kinds.items() if kind.fullmatch(tester))
        content = {key: value for key, value in message.items() if key not in PLACES}
        if 0 < len(content.get("blocks", ())) < MOST_BLOCKS:  # what people see, then
            mark = {"type": "context", "elements": [{"type": "mrkdwn", "text": "[test]"}]}
            content["blocks"] = [mark, *content["blocks"]]
        return {**content, place: tester, "text": f"[test] {content['text']}"}

    def connect(self) -> SlackMessages:
        """Build the client, once for all threads; nothing is sent yet."""
        from airflow.providers.slack.hooks.slack import SlackHook

        hook = SlackHook(slack_conn_id=self.connection, retry_handlers=[], logger=silent())
        hold_to_slack(use_connection(self.connection, lambda: hook.client))
        limits = limits_of(self.connection, default=RATE)
        place = self.channel or self.user or self.email
        call = Call.ASKABLE if place and is_template(place) else Call.FIXED_PLACE
        return SlackMessages(SlackApi(hook), self.connection, limits, self.addressed_to, call)

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message for one contact; raise NoAddress where they cannot be reached."""
        message = super().render(variables)
        if PERSON.fullmatch(message.get("channel", "")):  # or nobody would say whose it is
            raise ContactFailure("channel: it is the id of a person; write it as `user`")
        if not USER_ID.fullmatch(message.get("user", "U00")):
            raise ContactFailure("user: it is not the id of a person in Slack (U0123456789)")
        if not EMAIL.fullmatch(message.get("email", "a@b")):
            raise nobody(self.addressed_to)
        return message

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the person's id, or the channel as the template gave it: a name or an id."""
        return {place: message[place] for place in ("channel", "user") if place in message}


class SlackMessages(Sender):
    """A client of one workspace."""

    def __init__(
        self,
        api: SlackApi,
        connection: str,
        limits: Sequence[Limit],
        audience: Audience,
        call: Call,
    ) -> None:
        self._api = api
        self._connection = connection
        self._limits = limits  # of the workspace
        self._audience = audience
        self._call = call  # what posting is: whether the place is the same for everybody
        self._people: dict[str, str] = {}  # ids, by the addresses that were looked up

    def lacks(self, message: Mapping[str, Any]) -> bool:
        """Tell whether a person is known by address only."""
        return "email" in message

    def complete(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the message with the id of the person in place of the address."""
        email = message["email"]
        if email not in self._people:
            self._people[email] = self._person(email)
        others = {field: value for field, value in message.items() if field != "email"}
        return {**others, "user": self._people[email]}

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Post one message."""
        if self.lacks(message):
            message = self.complete(message)
        arguments = {
            "channel": _place(message),
            **content_of(message),
            "link_names": False,
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"delivery": key}},
        }
        answer = self._api.respond(self._call, "chat.postMessage", json=arguments).data
        try:
            return _receipt(str(answer["ts"]), str(answer["channel"]))
        except (KeyError, TypeError):
            raise OutcomeUnknown("Slack's answer does not name the message") from None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Read the history of each channel once and look for the keys in the metadata."""
        begin = look_from(since)
        receipts: dict[str, Receipt] = {}
        try:
            for channel in self._histories(traces.values()):
                if keys := traces.keys() - receipts.keys():
                    receipts |= self._in_history(channel, begin, keys)
        except (KeyError, TypeError, AttributeError) as error:
            name = type(error).__name__
            raise OutcomeUnknown(f"Slack's answer does not tell what was posted ({name})") from None
        return receipts

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the limits of the workspace and the channel, or of looking people up.

        There are none where the connection has none.
        """
        if not self._limits:
            return ()
        if not self.lacks(message):
            scope = f"{self._connection} {_place(message)}"
            return [*self._limits, Limit(scope, 1, CHANNEL_SECONDS)]
        if message["email"] in self._people:
            return ()
        return [Limit(f"{self._connection} users.lookupByEmail", LOOK_UPS, 60.0)]

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the token is, and compare its scopes with those that are needed."""
        response = self._api.respond(Call.CHECK, "auth.test")
        try:
            whose = f"{response.data['user']} in the workspace {response.data['team']}"
        except (KeyError, TypeError):
            raise ConnectionFailure(
                "Slack's answer is not one of its API; check the base_url"
            ) from None
        header = {name.lower(): value for name, value in response.headers.items()}.get(SCOPES)
        if header is None:
            return Finding(Tried.LIMITED, f"{whose}; Slack does not tell the token's scopes")
        scopes = {scope.strip() for scope in str(header).split(",")}
        if "groups:history" in scopes:  # all that a private channel needs; which it is, is unknown
            scopes.add("channels:history")
        missing = needs - scopes
        names = ", ".join(sorted(missing))
        remedy = "add it to the app's bot token scopes, and install the app again"
        if missing - TO_LOOK_UP:
            raise ConnectionFailure(f"{whose}; the token lacks {names}: {remedy}")
        if missing:
            cost = "messages in doubt cannot be looked up"
            return Finding(Tried.LIMITED, f"{whose}; {cost} without {names}: {remedy}")
        return Finding(Tried.OK, whose)

    def _person(self, email: str) -> str:
        """Return the id of the person with an address."""
        answer = self._api.respond(
            Call.ADDRESS, "users.lookupByEmail", absent=UNKNOWN_ADDRESS, data={"email": email}
        )
        if answer is None and self._call is Call.FIXED_PLACE:
            raise ConnectionFailure("Slack knows nobody with the address in `email`; mend it")
        if answer is None:
            raise nobody(self._audience)
        try:
            user, is_gone = str(answer.data["user"]["id"]), bool(answer.data["user"].get("deleted"))
        except (KeyError, TypeError, AttributeError):
            raise TransientFailure("Slack's answer does not name a person") from None
        if is_gone:
            raise nobody(self._audience)
        return user

    def _histories(self, traces: Iterable[Mapping[str, str]]) -> Sequence[str]:
        """Return the ids of what is to be read, each once."""
        places = list(traces)
        people = sorted({place["user"] for place in places if "user" in place})
        channels = {place["channel"] for place in places if "user" not in place}
        return [*self._ids(channels), *(self._direct_messages(user) for user in people)]

    def _direct_messages(self, user: str) -> str:
        """Return the id of the direct messages with a person; opening them shows nobody a thing."""
        return str(self._api.ask("conversations.open", users=user)["channel"]["id"])

    def _ids(self, channels: Set[str]) -> Sequence[str]:
        """Return the ids of these channels, sorted: for a name, of all that have or had it.

        Who renames a channel may give its old name to another one, and the message is in one of
        the two. Raises OutcomeUnknown for a name that no channel has that the token may list.
        """
        ids = {channel for channel in channels if CHANNEL_ID.fullmatch(channel)}
        names = {channel.removeprefix("#") for channel in channels - ids}
        missing = set(names)
        types = "public_channel,private_channel"
        for page in self._api.pages("conversations.list", types=types) if names else ():
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
        receipts: dict[str, Receipt] = {}
        span = {"oldest": f"{begin.timestamp():.6f}", "include_all_metadata": "true"}
        for page in self._api.pages("conversations.history", channel=channel, **span):
            for message in page["messages"]:
                metadata = message.get("metadata") or {}
                if metadata.get("event_type") == EVENT_TYPE:
                    key = metadata["event_payload"]["delivery"]  # KeyError where it is withheld
                    receipts |= {key: _receipt(message["ts"], channel)} if key in keys else {}
            if keys <= receipts.keys():
                break
        return receipts


def nobody(audience: Audience) -> ContactFailure:
    """Return the error of an address that finds nobody: a skip where it is the contact's."""
    error = NoAddress if audience is Audience.CONTACT else ContactFailure
    return error("email: Slack knows nobody with this address")


def _place_problems(name: str, template: Template) -> list[tuple[Location, str]]:
    """Return what is wrong with a place that is the same for every contact."""
    if is_template(template):
        return []
    if name == "channel" and PERSON.fullmatch(template.source):
        return [((name,), f"{template.source!r} is a person's id; write it as `user`")]
    if name == "user" and not USER_ID.fullmatch(template.source):
        text = f"found {template.source!r}; allowed: the id of a person, such as U0123456789"
        return [((name,), f"{text}; an address stands in `email`")]
    if name == "email" and not EMAIL.fullmatch(template.source):
        return [((name,), f"found {template.source!r}; allowed: an email address")]
    return []


def _place(message: Mapping[str, Any]) -> str:
    """Return what chat.postMessage takes as a channel: its name or id, or a person's id."""
    return str(message["user"] if "user" in message else message["channel"])


def _receipt(ts: str, channel: str) -> Receipt:
    return Receipt(external_id=ts, results={"ts": ts, "channel": channel})
