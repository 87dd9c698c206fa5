"""A team's own examples beside a workflow: a contact, its change, and what each action does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from segue.documents import Definition, Location, Name, ProblemsFound, did_you_mean
from segue.segments.examples import Example, Row

OUTCOMES = ("send", "skipped", "failed")


class Expectation(Definition):
    """What one action does: exactly one of ``OUTCOMES``, and what is known of it."""

    send: dict[str, Any] | None = None  # rendered fields, those that are looked at
    skipped: str | None = None  # the reason; empty: any
    failed: str | None = None  # part of the message

    @model_validator(mode="after")
    def _has_one_outcome(self) -> Self:
        outcomes = [name for name in OUTCOMES if getattr(self, name) is not None]
        if len(outcomes) != 1:
            names = " and ".join(outcomes) or "none"
            message = f"found {names}; expected exactly one of {', '.join(OUTCOMES)}"
            raise ProblemsFound([((), message)])
        return self

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``."""
        return next(name for name in OUTCOMES if getattr(self, name) is not None)

    @property
    def reason(self) -> str:
        """What is expected of the reason; empty: anything."""
        return self.skipped or self.failed or ""


def _outcome(value: object) -> object:
    """Read the word alone, such as ``send``, as an outcome of which nothing else is expected."""
    if not isinstance(value, str):
        return value
    if value not in OUTCOMES:
        hint = did_you_mean(value, OUTCOMES)
        raise ValueError(f"found {value!r}; allowed: {', '.join(OUTCOMES)}{hint}")
    return {value: {} if value == "send" else ""}


_TEXT = {"type": "string"}
_FORMS = {
    "anyOf": [
        {"enum": list(OUTCOMES)},
        {
            "type": "object",
            "properties": {"send": {"type": "object"}, "skipped": _TEXT, "failed": _TEXT},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}
Expected = Annotated[Expectation, BeforeValidator(_outcome), WithJsonSchema(_FORMS)]


class WorkflowExample(Example):
    """A contact and its change, and what the actions do; actions not named are not looked at."""

    change: str | None = None  # may be left out where the workflow has one kind only
    deleted: bool = False  # removed because the contact is gone; these are its last known details
    results: dict[Name, Row | Literal["failed"]] = Field(default_factory=dict)
    expect: Annotated[dict[Name, Expected], Field(min_length=1)]


def example_problems(
    examples: Sequence[WorkflowExample], kinds: Sequence[str], actions: Collection[str]
) -> Iterator[tuple[Location, str]]:
    """Yield (location, message) for each way in which examples do not fit their workflow."""
    for index, example in enumerate(examples):
        for place, message in (
            *_change_problems(example, kinds),
            *_name_problems(example, actions),
        ):
            yield ("tests", index, *place), message


def _change_problems(
    example: WorkflowExample, kinds: Sequence[str]
) -> Iterator[tuple[Location, str]]:
    if example.change is None and len(kinds) > 1:
        yield (), f"the key 'change' is missing; one of {', '.join(kinds)}"
    if example.change is not None and example.change not in kinds:
        hint = did_you_mean(example.change, kinds)
        message = f"found {example.change!r}; the workflow's are {', '.join(kinds)}{hint}"
        yield ("change",), message
    if example.deleted and (example.change or kinds[0]) != "removed":
        yield ("deleted",), "only a contact that was removed can be deleted"


def _name_problems(
    example: WorkflowExample, actions: Collection[str]
) -> Iterator[tuple[Location, str]]:
    for key in ("results", "expect"):
        for name in getattr(example, key):
            if name not in actions:
                choices = ", ".join(actions) + did_you_mean(name, actions)
                yield (key, name), f"there is no action {name!r}; allowed: {choices}"
