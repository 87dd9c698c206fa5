"""What conditions and templates ask of a directory that its data cannot answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from segue.directory.definition import DirectoryDefinition
from segue.documents import Document, Location
from segue.errors import Problem
from segue.hints import probably_meant
from segue.segments.conditions.contradictions import contradictions
from segue.segments.conditions.fit import Kinds, misfits
from segue.segments.conditions.inspection import leaves, unknown_fields
from segue.segments.conditions.nodes import Condition, FieldLeaf, MailingListLeaf
from segue.segments.examples import unknown_names

Columns = Mapping[str, Collection[str]]  # table: standard column names

# what a contact has beside the columns of its table (contacts/fields.py)
DERIVED_FIELDS = ("contact_id", "mailing_lists", "opted_in")
_DIGITS = re.compile(r"\d+")
_HIDING = {  # what templates see by a name that a column of contacts may have, too
    "mailing_lists": "the names of the lists that the contact is opted into",
    "opted_in": "its effective opt state",
    "change": "the kind of change",
    "snapshot": "the key of the current snapshot",
    "results": "the results of earlier actions",
}
_SHOWN = 20  # names that a message lists


@dataclass(frozen=True, slots=True)
class Newest:
    """What the newest snapshot of a directory holds, as far as conditions depend on it."""

    key: str
    kinds: Kinds
    mailing_lists: Collection[str] | None  # the names of those that have a contact; None: no table

    def without(self, fields: Collection[str]) -> Newest:
        """Return the same without what is known of some fields of contacts."""
        contacts = self.kinds.get("contacts", {})
        others = {name: kind for name, kind in contacts.items() if name not in fields}
        return replace(self, kinds={**self.kinds, "contacts": others})


@dataclass(frozen=True, slots=True)
class DirectoryData:
    """What is known of a directory; what is None is not checked against."""

    definition: DirectoryDefinition | None  # None: it is wrong itself
    columns: Columns | None
    newest: Newest | None
    derived_fields: Collection[str] = DERIVED_FIELDS

    @property
    def own_fields(self) -> list[str]:
        """The columns of contacts, sorted."""
        return sorted((self.columns or {}).get("contacts", ()))

    @property
    def fields(self) -> list[str]:
        """All that a contact has, sorted."""
        return sorted({*self.own_fields, *self.derived_fields})

    @property
    def mapping(self) -> Mapping[str, Mapping[str, str]]:
        """What the directory calls the columns of each table."""
        return {} if self.definition is None else dict(self.definition.columns.items())

    @property
    def hidden(self) -> set[str]:
        """The columns of contacts that templates cannot see: a fact of Segue's has the name.

        Not the one that says who opted in: of that the fact is made.
        """
        if self.definition is None:
            return set()
        own = set(self.own_fields) - {self.definition.opt_state.column}
        return own & set(DERIVED_FIELDS) - {"contact_id"}

    def with_fields(self, names: Collection[str]) -> DirectoryData:
        """Return the same where a live source provides some fields of contacts."""
        columns, newest = self.columns, self.newest
        if columns is not None:
            columns = {**columns, "contacts": sorted({*self.own_fields, *names})}
        return replace(self, columns=columns, newest=newest and newest.without(names))


ONLY_IDS = DirectoryData(None, {"contacts": ("contact_id",)}, None, ())  # what `load: none` leaves


def data_problems(condition: Condition, data: DirectoryData) -> Iterator[tuple[Location, str]]:
    """Yield what a condition asks that no data, or not this directory's, can answer.

    Nor unmistakably.
    """
    yield from _hidden_fields(condition, data.hidden)
    yield from contradictions(condition)
    if data.columns is not None:
        yield from unknown_fields(condition, data.columns, data.mapping)
    if data.newest is not None:
        for location, message in misfits(condition, data.newest.kinds):
            yield location, f"{message} (snapshot {data.newest.key})"
    for location, message, is_slip in unknown_lists(condition, data.newest):
        if is_slip:
            yield location, message


def _hidden_fields(condition: Condition, names: Collection[str]) -> Iterator[tuple[Location, str]]:
    """Yield fields that conditions would read as another thing than messages do."""
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf) and leaf.field in names:
            yield (*leaf.location, "field"), describe_hidden(leaf.field)


def describe_hidden(name: str) -> str:
    """Say what templates read by the name of a hidden column."""
    return (
        f"the directory has a column {name!r} of contacts, and `contact.{name}` of a template is "
        f"{_HIDING[name]}; give the column another name in the directory's `columns`, such as "
        f"{{contacts: {{own_{name}: {name}}}}}"
    )


def unknown_lists(
    condition: Condition, newest: Newest | None
) -> Iterator[tuple[Location, str, bool]]:
    """Yield the mailing lists that nobody is on, and whether another's name was probably meant.

    Everybody would be no member of them; but a new list has nobody on it at first.
    """
    if newest is None or newest.mailing_lists is None:
        return
    names = newest.mailing_lists
    for leaf in leaves(condition):
        if isinstance(leaf, MailingListLeaf) and leaf.name not in names:
            present = ", ".join(map(repr, sorted(names)[:_SHOWN])) or "none"
            message = f"nobody is on a mailing list {leaf.name!r} in snapshot {newest.key}"
            suggestion = probably_meant(leaf.name, _of_other_words(leaf.name, names))
            hint = "" if suggestion is None else f"; did you mean {suggestion!r}?"
            place = (*leaf.location, "mailing_list")
            yield place, f"{message}; there are: {present}{hint}", suggestion is not None


def _of_other_words(name: str, names: Collection[str]) -> list[str]:
    """Return the names that differ in more than digits: next year's list is no slip of the pen."""
    return [other for other in names if _DIGITS.sub("", other) != _DIGITS.sub("", name)]


def example_problems(
    document: Document, columns: Columns | None, segments: Collection[str]
) -> Iterator[Problem]:
    """Find fields and segments of examples that are not there."""
    for location, message in unknown_names(document.data.get("tests"), columns, segments):
        yield document.problem(("tests", *location), message)
