"""The interface of a channel: how an action reaches the world.

A channel is one class in one file. Its fields are what a team writes under the channel's name in
a workflow's YAML; fields that are templates declare their kind, and are rendered here for every
channel alike. What is left to a channel is to say who is addressed, and to send::

    class PagerAlert(Channel):
        name: ClassVar[str] = "pager_alert"
        connection: str = "pager_default"
        summary: Line

        def connect(self) -> Sender: ...

Built-in channels are listed in ``BUILT_IN``; a team's own is an entry point of the group
``segue.channels`` whose name is the key used in YAML and whose value is ``module:Class``
(docs/adding-a-channel.md has a complete one).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import model_validator

from segue.contracts.connection_ids import connection_problems
from segue.contracts.literal_secrets import literal_secrets
from segue.contracts.stray_templates import stray_templates
from segue.contracts.templates import Template, render, union
from segue.contracts.typed_values import LEFT_OUT, TypedValue
from segue.contracts.writing import VendorMarkup
from segue.documents import Definition, Location, ProblemsFound
from segue.errors import ContactFailure, OutcomeUnknown, SettingsError
from segue.installed import class_at, installed

BUILT_IN = {
    "email": "segue.channels.email.message:EmailMessage",
    "freshdesk_ticket": "segue.channels.tickets.freshdesk_ticket:FreshdeskTicket",
    "http_request": "segue.channels.http.request:HttpRequest",
    "jira_issue": "segue.channels.tickets.jira_issue:JiraIssue",
    "qualtrics_contact": "segue.channels.qualtrics.contact:QualtricsContact",
    "qualtrics_ticket": "segue.channels.qualtrics.ticket:QualtricsTicket",
    "servicenow_record": "segue.channels.tickets.servicenow_record:ServiceNowRecord",
    "slack_message": "segue.channels.slack.message:SlackMessage",
    "slack_webhook": "segue.channels.slack.webhook:SlackWebhook",
    "survey_invitation": "segue.channels.qualtrics.survey_invitation:SurveyInvitation",
    "survey_link": "segue.channels.qualtrics.survey_link:SurveyLink",
    "teams_message": "segue.channels.teams.message:TeamsMessage",
    "text_message": "segue.channels.sms.text_message:TextMessage",
    "zendesk_ticket": "segue.channels.tickets.zendesk_ticket:ZendeskTicket",
}


class Audience(StrEnum):
    """Who reads the message: consent binds messages to the contact, not those to the team."""

    CONTACT = "contact"
    TEAM = "team"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the vendor said of an accepted message.

    ``results`` is what later templates see as ``results.<action id>``; ids and links, never
    contact text, because the ledger keeps it.
    """

    external_id: str | None = None
    url: str | None = None
    results: Mapping[str, str] = field(default_factory=dict)


class NoAddress(ContactFailure):
    """The contact has no usable address for this channel: the delivery is skipped, not failed."""


class OpenTicket(ContactFailure):
    """The contact has an open ticket, and the action says ``skip``: the delivery is skipped.

    Its message is the ticket's number.
    """


class OptedOut(ContactFailure):
    """The vendor knows that the contact wants no messages: the delivery is skipped, not failed."""


class PartlyFound(OutcomeUnknown):
    """A vendor was asked: it has the messages of ``found``, and cannot tell about the others."""

    def __init__(self, message: str, found: Mapping[str, Receipt]) -> None:
        self.found = found
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` calls in ``seconds``; all tasks that name the same ``scope`` share it."""

    scope: str  # what the vendor counts by: a connection, or a connection and a Slack channel
    count: int
    seconds: float

    @property
    def spacing(self) -> timedelta:
        """The time between two calls that are spread evenly."""
        return timedelta(seconds=self.seconds / self.count)


class Tried(StrEnum):
    """What trying a connection came to."""

    OK = "ok"
    LIMITED = "limited"  # it sends, and something is missing that makes the rest worse
    UNTRIED = "untried"  # it opens; only sending would show more
    FAILED = "failed"  # nothing can be sent


@dataclass(frozen=True, slots=True)
class Finding:
    """What ``Sender.check`` found. ``detail`` says whose the account is, or what to do."""

    tried: Tried
    detail: str


class Sender(ABC):
    """An open connection to a vendor; its methods are called from several threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:  # noqa: B027 - most have nothing to close
        """Close what is open."""

    def lacks(self, message: Mapping[str, Any]) -> bool:
        """Tell whether the vendor must be asked for something before this message is sent."""
        return False

    def complete(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a message that ``lacks`` something with what the vendor says, such as an id.

        Asked before the call is recorded as begun, so that ``Channel.trace`` and ``limits`` see
        the complete message. It changes nothing at the vendor. Raises as ``send`` does.
        """
        return message

    @abstractmethod
    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Send one rendered message once; ``key`` is the delivery's key (64 hex digits).

        Raises ContactFailure (permanent, of this contact), NoAddress, OptedOut, OpenTicket,
        TransientFailure (nothing was sent), ConnectionFailure (credentials, host) or
        OutcomeUnknown (the answer was lost after the request had gone out).
        """

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Ask the vendor which of these deliveries it has; what is left out it surely has not.

        ``traces`` maps keys of deliveries to what ``Channel.trace`` said of their messages; none
        of the calls began before ``since``. Only asked where ``can_be_asked``. Raises
        TransientFailure, ConnectionFailure, OutcomeUnknown where the vendor cannot tell, or
        PartlyFound where it can tell of some.
        """
        raise OutcomeUnknown(f"{type(self).__name__} has no way to ask")

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the limits that a call with this message counts under."""
        return ()

    def check(self, needs: Set[str]) -> Finding:
        """Try the connection without sending anything, for ``segue check-connections``.

        ``needs`` is what ``Channel.needs`` says of all actions that share the connection. Raises
        ConnectionFailure, TransientFailure or OutcomeUnknown, which say what to do.
        """
        return Finding(Tried.UNTRIED, "it opens, and cannot be tried without sending")

    @property
    def caveat(self) -> str | None:
        """What is wrong with a connection although it works, once ``check`` has tried it."""
        return None


class Channel(Definition):
    """The base of every channel: its fields as written in YAML, templates and all."""

    name: ClassVar[str]
    concurrency: ClassVar[int] = 4  # calls at once within one task
    longest_call: ClassVar[float] = 60.0  # seconds after which a call has surely ended
    about_one: ClassVar[bool] = False  # it does something to one contact: never a digest
    # what the vendor itself replaces in texts; no contact's value may be a part of it
    replaced: ClassVar[VendorMarkup | None] = None
    # the contact's fields that ``render`` reads by itself, beside what templates read
    reads: ClassVar[frozenset[str]] = frozenset()

    # which fields may be given by language: what somebody reads, never who or where it goes to
    translated: ClassVar[frozenset[str]] = frozenset(
        {
            *("comment", "comment_html", "description", "html", "short_description", "subject"),
            *("summary", "text", "title"),
        }
    )

    connection: str  # the id of an Airflow connection; credentials come from nowhere else

    @model_validator(mode="after")
    def _refuse_what_no_field_may_hold(self) -> Self:
        problems = [*stray_templates(self), *connection_problems(self.connection)]
        problems += [
            (location, "is the same in every language; allowed: one text")
            for location, template in self._whole_templates()
            if template.translations and location[0] not in self.translated
        ]
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def addressed_to(self) -> Audience:
        """Who reads it; the team unless a channel says otherwise."""
        return Audience.TEAM

    @property
    def can_be_asked(self) -> bool:
        """Whether its sender can ``find`` a message again; it may depend on the fields."""
        return False

    @property
    def looks_back(self) -> bool:
        """Whether ``render`` wants ``earlier``: the vendor's ids of what the contact has had.

        They are those of the same action's deliveries through the same connection, newest first.
        """
        return False

    @abstractmethod
    def connect(self) -> Sender:
        """Open the connection; everything shared by threads is built here, before any thread.

        Raises ConnectionFailure where the connection is missing or cannot be used.
        """

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return what ``Sender.find`` needs of a rendered message; the ledger keeps it.

        Never contact text.
        """
        return {}

    @property
    def needs(self) -> Set[str]:
        """What ``Sender.check`` is to look for, such as scopes; each channel has its own words."""
        return frozenset()

    @property
    def address_field(self) -> str | None:
        """The contact's field that says where to, where the templates of the action do not."""
        return None

    def tester(self, to: str) -> str:
        """Return the address of somebody who tests, as this channel writes it.

        Raises SettingsError where it is none, or, as by default, nothing can be sent elsewhere.
        """
        raise SettingsError(
            f"a {self.name} cannot be sent to a tester: it has no address that could be another; "
            "segue plan shows it as it would be sent"
        )

    def readdressed(self, message: Mapping[str, Any], tester: str) -> dict[str, Any]:
        """Return a rendered message for a tester, and for nobody else; see ``tester``.

        Raises SettingsError where, as by default, the channel cannot do that.
        """
        raise SettingsError(f"a {self.name} has no way to put a tester's address into a message")

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields as plain data with every template rendered for one contact.

        Keys are those of the YAML; fields that are None are left out. Raises ContactFailure, with
        the field's name.
        """
        return {
            key: _rendered(value, variables, key, self.replaced)
            for key, value in self._written()
            if key != "connection" and value is not None
        }

    def fields_read(self, *, digest: bool) -> frozenset[str] | None:
        """Return which of a contact's fields ``render`` may read; None where it may be any.

        So it may in a class that has a ``render`` of its own and does not say what it ``reads``.
        """
        says = next(cls for cls in type(self).__mro__ if {"reads", "render"} & vars(cls).keys())
        own = self.reads if "reads" in vars(says) else None
        of_templates = (template.fields_read(digest=digest) for _, template in self.templates())
        field = None if digest else self.language_field
        return union([own, frozenset(() if field is None else (field,)), *of_templates])

    @property
    def language_field(self) -> str | None:
        """The contact's field that says its language, where texts are given by language."""
        each = (template.languages for _, template in self._whole_templates())
        return next((languages.field for languages in each if languages is not None), None)

    def language_of(self, variables: Mapping[str, Any]) -> str | None:
        """Return the language of the message to a contact; None where texts have one only."""
        texts = [template for _, template in self._whole_templates() if template.translations]
        if not texts or texts[0].languages is None:
            return None
        available = dict.fromkeys(each.language for text in texts for each in text.translations)
        return texts[0].languages.of(variables, available)

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Yield what the action may say and probably does not mean, with its location."""
        yield from literal_secrets(self.templates())
        yield from self._missing_translations()

    def _missing_translations(self) -> Iterator[tuple[Location, str]]:
        """Yield each text that lacks a language that another text of the action has."""
        texts = {place: text for place, text in self._whole_templates() if text.translations}
        languages = {
            place: [x.language for x in text.translations] for place, text in texts.items()
        }
        every = dict.fromkeys(tag for tags in languages.values() for tag in tags)
        for place, tags in languages.items():
            lacking = [tag for tag in every if tag not in tags]
            if lacking:
                yield place, f"has no text in {', '.join(lacking)}, which other texts have"

    def templates(self) -> Iterator[tuple[Location, Template]]:
        """Yield every template of this action with its location below the channel's key.

        Of a text by language that is each translation.
        """
        for place, template in self._whole_templates():
            if template.translations:
                yield from (((*place, each.language), each) for each in template.translations)
            else:
                yield place, template

    def _whole_templates(self) -> Iterator[tuple[Location, Template]]:
        for key, value in self._written():
            yield from templates_in(value, (key,))

    def _written(self) -> Iterator[tuple[str, Any]]:
        """Yield every field under the key that it has in YAML."""
        for name, info in type(self).model_fields.items():
            yield info.alias or name, getattr(self, name)


def channel_names() -> list[str]:
    """Return the names of all channels that are installed, sorted."""
    return sorted({*BUILT_IN, *installed("segue.channels")})


def channel_class(name: str) -> type[Channel]:
    """Return the class of the channel ``name``; KeyError when there is none."""
    channel: type[Channel] = class_at({**BUILT_IN, **installed("segue.channels")}[name])
    return channel


def _rendered(
    value: Any, variables: Mapping[str, Any], path: str, replaced: VendorMarkup | None
) -> Any:
    def inner(part: Any, name: str) -> Any:
        return _rendered(part, variables, f"{path}{name}", replaced)

    if isinstance(value, Template):
        return _rendered_text(value, variables, path, replaced)
    if isinstance(value, TypedValue):
        return value.rendered(partial(_rendered, replaced=replaced), variables, path)
    if isinstance(value, Definition):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return inner({k: v for k, v in fields.items() if v is not None}, "")
    if isinstance(value, Mapping):
        items = {key: inner(item, f".{key}") for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not LEFT_OUT}
    if isinstance(value, tuple | list):
        parts = [inner(item, f"[{index}]") for index, item in enumerate(value)]
        return [part for part in parts if part is not LEFT_OUT]
    return value


def _rendered_text(
    template: Template, variables: Mapping[str, Any], path: str, replaced: VendorMarkup | None
) -> str:
    try:
        return render(template, variables, replaced=replaced)
    except ContactFailure as error:
        raise ContactFailure(f"{path}: {error}") from None


def templates_in(value: Any, location: Location) -> Iterator[tuple[Location, Template]]:
    """Yield every template in a field's value, each with its location."""
    if isinstance(value, Template):
        yield location, value
    elif isinstance(value, Definition):
        for name in type(value).model_fields:
            yield from templates_in(getattr(value, name), (*location, name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from templates_in(item, (*location, str(key)))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from templates_in(item, (*location, index))
