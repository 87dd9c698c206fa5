"""The interface of a live source: what contacts' details are looked up in when a run loads them.

A source is one class in one file, as a channel is. Its fields are what a team writes below its
name in a workflow's ``load:``. What is left to it is to say which fields of a contact it gives,
and to look contacts up::

    class HttpDetails(LiveSource):
        name: ClassVar[str] = "http"
        path: RequestPath

        def connect(self) -> LiveReader: ...

Built-in sources are listed in ``BUILT_IN``; a team's own is an entry point of the group
``segue.live_sources`` (docs/live-details.md has a complete one). What was looked up is laid over
the snapshot's details by ``segue.contacts.live_look_up``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from segue.contracts.channel import Finding, Limit, Tried, templates_in
from segue.contracts.connection_ids import connection_problems
from segue.contracts.literal_secrets import literal_secrets
from segue.contracts.stray_templates import stray_templates
from segue.contracts.templates import Template, union
from segue.documents import Definition, Items, Location, Name, ProblemsFound
from segue.errors import ContactFailure
from segue.installed import class_at, installed

BUILT_IN = {
    "http": "segue.live.http_details:HttpDetails",
    "qualtrics": "segue.live.qualtrics_details:QualtricsDetails",
    "sql": "segue.live.sql_details:SqlDetails",
}
NOT_LOOKED_UP = ("contact_id", "mailing_lists", "opted_in")  # the snapshot's, or derived from it


Answer = Mapping[str, Any] | ContactFailure  # a contact's fields by our names


class LiveReader(ABC):
    """An open connection to a source; its methods are called from several threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:  # noqa: B027 - some have nothing to close
        """Close what is open."""

    @abstractmethod
    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Answer]:
        """Return what the source has of these contacts, by id; those left out it has not.

        ``contacts`` maps ids to the fields that the snapshot has, up to ``at_once`` of them. What
        is missing of a contact is None, or left out. A ContactFailure is of that contact alone.
        Raises TransientFailure, or ConnectionFailure where no contact could be looked up.
        """

    def limits(self) -> Sequence[Limit]:
        """Return the limits that a call counts under."""
        return ()

    def check(self, needs: Set[str]) -> Finding:
        """Try the connection without a contact, for ``segue check-connections``.

        Raises ConnectionFailure or TransientFailure, which say what to do.
        """
        return Finding(Tried.UNTRIED, "it is defined, and cannot be tried without a contact")

    @property
    def caveat(self) -> str | None:
        """What is wrong with a connection although it works, once ``check`` has tried it."""
        return None


class LiveSource(Definition):
    """The base of every source: its fields as written in YAML."""

    name: ClassVar[str]
    concurrency: ClassVar[int] = 4  # calls at once within one task
    # the snapshot's fields that a look-up reads beside those of templates; None: it may read any
    reads: ClassVar[frozenset[str] | None] = None

    connection: str  # the id of an Airflow connection; credentials come from nowhere else

    @model_validator(mode="after")
    def _refuse_what_no_field_may_hold(self) -> Self:
        problems = [*stray_templates(self), *connection_problems(self.connection)]
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def fields_read(self) -> frozenset[str] | None:
        """Which of the snapshot's fields a look-up may read; None where it may be any."""
        return union([self.reads, *(template.fields_read() for _, template in self.templates())])

    @property
    def needs(self) -> Set[str]:
        """What ``LiveReader.check`` is to look for, of all workflows that share a connection."""
        return frozenset()

    @property
    def at_once(self) -> int:
        """How many contacts one call looks up."""
        return 1

    @property
    @abstractmethod
    def provides(self) -> Collection[str]:
        """The names of the fields that it gives, which hide the snapshot's of the same name."""

    @abstractmethod
    def connect(self) -> LiveReader:
        """Open the connection; everything shared by threads is built here, before any thread.

        Raises ConnectionFailure where the connection is missing or cannot be used.
        """

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Yield what it may say and probably does not mean, with its location."""
        yield from literal_secrets(self.templates())

    def templates(self) -> Iterator[tuple[Location, Template]]:
        """Yield every template of this source with its location; they see ``contact`` alone."""
        for name, info in type(self).model_fields.items():
            yield from templates_in(getattr(self, name), (info.alias or name,))


def _by_name(value: object) -> object:
    """Read a list of names as names that are the source's own, too."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: name for name in value}
    return value


def _not_ours(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    problems: list[tuple[Location, str]] = [
        ((name,), f"{name!r} is the snapshot's and cannot be looked up; choose another name")
        for name in fields
        if name in NOT_LOOKED_UP
    ]
    if problems:
        raise ProblemsFound(problems)
    return fields


# of ``fields``: our names, and where each is found; or a list, where they are the source's too
FOUND_BY = BeforeValidator(_by_name, json_schema_input_type=dict[Name, str] | Items[Name])
NOT_OURS = AfterValidator(_not_ours)
FoundByName = Annotated[dict[Name, str], FOUND_BY, NOT_OURS]


def stand_ins(source: LiveSource | None) -> dict[str, str]:
    """Return what previews show of each field that is looked up: ``‹contact.tier›``."""
    return {name: f"‹contact.{name}›" for name in source.provides} if source else {}


def source_names() -> list[str]:
    """Return the names of all live sources that are installed, sorted."""
    return sorted({*BUILT_IN, *installed("segue.live_sources")})


def source_class(name: str) -> type[LiveSource]:
    """Return the class of the source ``name``; KeyError when there is none."""
    source: type[LiveSource] = class_at({**BUILT_IN, **installed("segue.live_sources")}[name])
    return source
