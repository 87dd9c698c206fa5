"""What the files of a table call its columns, and which standard names these have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.directory.checks import ID, list_names
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.parallel import Lazy
from segue.documents import did_you_mean
from segue.errors import DataError


@dataclass(frozen=True)
class ColumnNames:
    """The names of one table's columns; errors do not say in which table."""

    own: Sequence[str]  # as the files have them, in order
    mapping: Mapping[str, str]  # the directory's `columns`: theirs, by the standard name
    opt_state: str | None  # the column that `consent` names, by their name or the standard one
    have_header: bool  # that they are names is sure: in CSV a first row may be read as names

    @Lazy
    def sources(self) -> dict[str, str]:
        """The files' own name of every column, by its standard name.

        A column that the mapping names and the files lack is left out. Raises DataError where two
        columns have one name.
        """
        sources: dict[str, str] = {}
        for name in dict.fromkeys(self.own):
            sources |= dict.fromkeys(self._standard_names(name), name)
        if self.opt_state is not None:  # it alone says who opted out; where it is not, nothing
            sources.pop(UNSUBSCRIBED, None)
            theirs = self.mapping.get(self.opt_state, self.opt_state)
            sources |= {UNSUBSCRIBED: theirs} if theirs in self.own else {}
        return sources

    def _standard_names(self, name: str) -> list[str]:
        standards = [standard for standard, theirs in self.mapping.items() if theirs == name]
        if standards:
            return standards
        theirs = self.mapping.get(name)
        if theirs is None:
            return [name]
        if theirs in self.own:
            raise DataError(
                f"two columns are {name!r}: the one of that name, and {theirs!r} by the "
                "directory's `columns`; expected one"
            )
        return []

    def describe_unknown(self, name: str) -> str:
        """Say that there is no column of this standard name, and which one may be meant."""
        theirs = self.mapping.get(name)
        alike = next((own for own in self.own if _is_alike(own, theirs or name)), None)
        if alike is not None:
            return (
                f"there is no column {theirs or name!r}, but {alike!r}: names are compared "
                f"exactly; the directory's `columns` says which one is {name!r}"
            )
        if theirs is not None:
            what = f"there is no column {theirs!r}, as the directory's `columns` calls {name!r}"
            hint = did_you_mean(theirs, self.own)
        else:
            what = f"there is no column {name!r}"
            hint = did_you_mean(name, self.sources)
        return what + (hint or f"; {self._describe_own()}")

    def _describe_own(self) -> str:
        if self.have_header or self.mapping.get(ID, ID) in self.own:
            return f"found {list_names(self.own)}{self._advice()}"
        return (
            f"the file has {len(self.own)} others; its first line must hold the columns' names, "
            f"and the directory's `columns` says which one holds {ID!r} where it has another name"
        )

    def _advice(self) -> str:
        """Say how the id's column is named, where none has its name and no other is given."""
        if ID in self.own or ID in self.mapping:
            return ""
        return f"; the directory's `columns` says which one holds {ID!r}"


def _is_alike(theirs: str, name: str) -> bool:
    """Tell whether two names differ in case and blanks only."""
    return theirs != name and theirs.strip().casefold() == name.strip().casefold()
