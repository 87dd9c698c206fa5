"""What a team writes below ``qualtrics:`` in a directory's ``take:``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from segue.channels.qualtrics.calls import CONNECTION, DirectoryId, MailingListId
from segue.contracts.live_source import FOUND_BY
from segue.directory.definition import STANDARD_COLUMNS
from segue.directory.take_source import SnapshotReader, SnapshotSource, TableName
from segue.documents import Location, Name, ProblemsFound

UNSUBSCRIBED_AT = "unsubscribed_at"
TRANSACTION_ID = "transaction_id"
SEGMENT = "segment:"  # before the name of a segment, where mailing lists stand, too
_OWN = frozenset({*STANDARD_COLUMNS["contacts"], UNSUBSCRIBED_AT})
_OWN_OF_TRANSACTIONS = frozenset({*STANDARD_COLUMNS["transactions"], TRANSACTION_ID})


def _no_columns_of_ours(names: Mapping[str, str], own: frozenset[str]) -> None:
    problems: list[tuple[Location, str]] = [
        (
            (name,),
            f"{name!r} is a column of its own; choose another name, as in {{our_name: {name}}}",
        )
        for name in names
        if name in own
    ]
    if problems:
        raise ProblemsFound(problems)


def _of_contacts(names: Mapping[str, str]) -> Mapping[str, str]:
    _no_columns_of_ours(names, _OWN)
    return names


def _of_transactions(names: Mapping[str, str]) -> Mapping[str, str]:
    _no_columns_of_ours(names, _OWN_OF_TRANSACTIONS)
    return names


def _no_segments(names: object) -> object:
    """A mailing list under the name of a segment would be taken for one."""
    if isinstance(names, Mapping) and (
        wrong := [each for each in names if each.startswith(SEGMENT)]
    ):
        message = f"{wrong[0]!r} begins as the name of a segment does; choose another name"
        raise ProblemsFound([((wrong[0],), message)])
    return names


Names = Annotated[dict[Name, str], FOUND_BY]
Label = Annotated[str, Field(min_length=1)]
SegmentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class QualtricsDirectory(SnapshotSource):
    """Contacts of XM Directory as they are now, with what belongs to them.

    Whatever goes beyond the standard fields is asked for contact by contact, for Qualtrics lists
    it nowhere: embedded data, memberships and dates by one call, transactions by another.
    """

    name: ClassVar[str] = "qualtrics"

    connection: str = CONNECTION
    directory: DirectoryId
    # our names, and Qualtrics'; or a list, where they are the same
    embedded_data: Annotated[Names, AfterValidator(_of_contacts)] = Field(default_factory=dict)
    # our names, and their ids; all are called as Qualtrics calls them
    mailing_lists: Annotated[
        Literal["all"] | dict[Label, MailingListId] | None, AfterValidator(_no_segments)
    ] = None
    segments: Literal["all"] | dict[Label, SegmentId] | None = None
    # the names of their data, as those of embedded data
    transactions: Annotated[Names, AfterValidator(_of_transactions)] | None = None

    @property
    def tables(self) -> Sequence[TableName]:
        """Contacts, and what is asked for beside them; contacts are read first."""
        tables: list[TableName] = ["contacts"]
        if self.has_memberships:
            tables.append("mailing_lists")
        if self.transactions is not None:
            tables.append("transactions")
        return tables

    @property
    def knows_only_now(self) -> Sequence[TableName]:
        """All of them: XM Directory shows what is so now."""
        return self.tables

    @property
    def has_memberships(self) -> bool:
        """Whether mailing lists or segments are asked for."""
        return bool(self.mailing_lists or self.segments)

    @property
    def asks_for_each(self) -> bool:
        """Whether every contact is asked for by itself, beside the lists of all."""
        return self.has_memberships or bool(self.embedded_data)

    def connect(self) -> SnapshotReader:
        """Open a session, and see to it that the lists and segments are there."""
        from segue.snapshot_sources.qualtrics.reader import open_reader

        return open_reader(self)
