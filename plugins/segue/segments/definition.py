"""The definition of a segment: a named condition over a directory, or another way to decide it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from segue.directory.definition import reversal_problem
from segue.documents import Definition, Items, Name, ProblemsFound
from segue.segments.conditions.inspection import Needs, needed_columns, operator_versions, to_data
from segue.segments.conditions.nodes import DIRECTORY, THIS_SEGMENT
from segue.segments.conditions.schema import ConditionField
from segue.segments.examples import SegmentExample
from segue.segments.python_function import PythonFunction

KEY_PLACE = "{key}"  # where an imported membership's path has the snapshot's key
IMPORT_SUFFIXES = (".parquet", ".csv", ".csv.gz")
WAYS = ("match", "python", "imported")


def _has_a_place_for_the_key(path: str) -> str:
    if KEY_PLACE not in path:
        raise ValueError(
            f"found {path!r}; the path of an imported membership has {KEY_PLACE} where the "
            f"snapshot's key stands, such as ../memberships/vip/{KEY_PLACE}.parquet"
        )
    if not path.lower().endswith(IMPORT_SUFFIXES):
        raise ValueError(f"found {path!r}; allowed: a name in {', '.join(IMPORT_SUFFIXES)}")
    return path


def _not_reserved(name: str) -> str:
    if name in (THIS_SEGMENT, DIRECTORY):
        raise ValueError(f"{name!r} means something else in `subscription:`; choose another name")
    return name


class ImportedMembership(Definition):
    """A table of contact ids per snapshot that something else decides, such as a dbt model."""

    path: Annotated[str, Field(min_length=1), AfterValidator(_has_a_place_for_the_key)]
    # Standard name -> theirs. The column opted_in may be absent: nobody is opted out then.
    columns: dict[Literal["contact_id", "opted_in"], str] = Field(default_factory=dict)
    unknown_contacts: Literal["refuse", "ignore"] = "refuse"

    @field_validator("columns")
    @classmethod
    def _takes_no_for_no(cls, columns: dict[str, str]) -> dict[str, str]:
        message = reversal_problem(columns.get("opted_in", ""), is_in=True)
        if message is not None:
            raise ProblemsFound([(("opted_in",), message)])
        return columns


class SegmentDefinition(Definition):
    """A segment as a team writes it in ``include/segments/``: exactly one of ``WAYS``."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [way]} for way in WAYS]})

    segment: Annotated[Name, AfterValidator(_not_reserved)]
    directory: Name
    description: str | None = None
    match: ConditionField | None = None
    python: Annotated[str, Field(min_length=3, examples=["rules/vip.py:members"])] | None = None
    imported: ImportedMembership | None = None
    # Left out of every dump: examples decide nothing, so they change no digest.
    tests: Annotated[Items[SegmentExample], Field(exclude=True)] = ()

    _folder: Path = PrivateAttr(default_factory=Path)  # of the definition's file
    _refers_to: tuple[SegmentDefinition, ...] = PrivateAttr(default=())

    @field_validator("python")
    @classmethod
    def _function_is_there(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            PythonFunction.find(value, _folder_of(info))
        return value

    @model_validator(mode="after")
    def _is_decided_in_one_way(self, info: ValidationInfo) -> Self:
        self._folder = _folder_of(info)
        ways = [way for way in WAYS if getattr(self, way) is not None]
        if len(ways) > 1:
            message = f"found {' and '.join(ways)} together; expected exactly one of them"
            raise ProblemsFound([((ways[1],), message)])
        if not ways:
            message = f"the key 'match' is missing; a segment has exactly one of {', '.join(WAYS)}"
            raise ProblemsFound([((), message)])
        if self.tests and self.imported is not None:
            message = (
                "an imported membership follows from no contact; examples need match or python"
            )
            raise ProblemsFound([(("tests",), message)])
        return self

    @property
    def refers_to(self) -> tuple[SegmentDefinition, ...]:
        """The segments that must be known first, each after those that it refers to itself."""
        return self._refers_to

    def referring_to(self, segments: Iterable[SegmentDefinition]) -> Self:
        """Return the same segment, knowing what it refers to (see ``refers_to``)."""
        copy = self.model_copy()
        copy._refers_to = tuple(segments)
        return copy

    @property
    def needs(self) -> Needs:
        """What is read of the directory for this segment and those it refers to.

        A Python function reads what it likes, beside this.
        """
        needs = Needs()
        for segment in (self, *self._refers_to):
            if segment.match is not None:
                needs |= needed_columns(segment.match)
        return needs

    @property
    def asks_outside(self) -> bool:
        """Whether a Python function or an imported table has a say in who is in the segment."""
        return any(segment.match is None for segment in (self, *self._refers_to))

    @property
    def function(self) -> PythonFunction:
        """The function of ``python``."""
        assert self.python is not None
        return PythonFunction.find(self.python, self._folder)

    def import_location(self, key: str) -> str:
        """Return the path or URL of the imported membership at one snapshot."""
        assert self.imported is not None
        path = self.imported.path.replace(KEY_PLACE, key)
        return path if "://" in path else str((self._folder / Path(path).expanduser()).resolve())

    def facts(self) -> dict[str, Any]:
        """Return, as plain data, all that decides who is in the segment of a given snapshot.

        The content of imported tables is not in it: it belongs to the snapshot.
        """
        facts: dict[str, Any] = {"segment": self.segment}
        if self.match is not None:
            facts["match"] = to_data(self.match)
            facts["operators"] = operator_versions(self.match)
        if self.python is not None:
            facts["python"] = [self.python, self.function.digest]
        if self.imported is not None:
            facts["imported"] = self.imported.model_dump(mode="json")
        if self._refers_to:
            facts["refers_to"] = [segment.facts() for segment in self._refers_to]
        return facts


def _folder_of(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", Path()))
