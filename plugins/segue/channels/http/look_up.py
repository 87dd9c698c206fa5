"""A look-up of ``http_request``: how an API is asked whether it has a delivery.

What it lists is compared with the delivery's key here, because many an API ignores a parameter that
it does not know, and then lists what others have made. What is not in a list is surely not there
only where the list is whole, and a list shows a page of all that there is. So a delivery is absent
where nothing is listed at all, or where ``complete`` is true of the answer; anything else is doubt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from segue.channels.http.calls import HttpCalls
from segue.channels.http.expressions import (
    Expression,
    KeyExpression,
    compares_with,
    search,
    search_unfiltered,
    why_no_selection,
)
from segue.channels.http.fields import RequestPath, Scalar, text_of
from segue.channels.http.results import receipt_of
from segue.contracts.channel import Receipt
from segue.contracts.templates import Template, render
from segue.documents import Definition, Location, Name, ProblemsFound
from segue.errors import OutcomeUnknown

_NAMED_BY_THE_PATH = frozenset({404, 410})
KEY = "key"

_TRACE = "look_up"
# names, as letters alone: nextPageToken, next_cursor, has_more, hasNextPage, LastEvaluatedKey
_MORE = re.compile(
    r"(odata)?(has)?(next|more)(page|link|url|uri|href|cursor|token|key|offset|records?|results?|items?)*"
    r"|(page|end|after)?(cursor|marker|bookmark|continuation)(token|id|key)?"
    r"|(scroll|page|resume)(token|id)|lastevaluatedkey"
)
# and those of an answer that is not all that was asked for: GitHub's incomplete_results
_PARTIAL = re.compile(r"(is)?(truncated|incomplete|partial)(results?)?|timedout|errors?|warnings?")
_WHOLE = re.compile(r"(is)?(last|done|complete|finished|ok|success)(page)?")
_COUNT = re.compile(r"total(count|size|items?|results?|records?|hits|elements)?|count|numfound")
# where a list begins, or how many pages it has: nothing is left out at 0 and 1
_PLACE = re.compile(r"(total|current|last)?pages?(number|count|num|no|total)?|start(at|index|from)")
_LEFT_OUT = re.compile(r"offset|skip(ped)?")  # of the things before a page
_NOTHING: tuple[object, ...] = (None, False, "", 0, [], {})


class LookUp(Definition):
    """How to ask the API whether it has a delivery; only ``key`` is known in its templates."""

    path: RequestPath
    query: dict[str, Scalar] = Field(default_factory=dict)
    found: KeyExpression = Field(description="JMESPath: the list of the things that carry the key")
    complete: Expression | None = Field(
        None, description="JMESPath: whether an answer without the delivery shows everything"
    )
    results: dict[Name, Expression] = Field(
        default_factory=dict, description="JMESPath, in the first of the things that were found"
    )

    @model_validator(mode="after")
    def _ask_for_the_key(self) -> Self:
        problems = [*self._template_problems(), *self._comparison_problems()]
        if problems:
            raise ProblemsFound(problems)
        return self

    def _templates(self) -> dict[Location, Template]:
        return {("path",): self.path} | {
            ("query", name): item for name, item in self.query.items() if isinstance(item, Template)
        }

    def _template_problems(self) -> Iterator[tuple[Location, str]]:
        for location, template in self._templates().items():
            others = {reference[0] for reference in template.references()} - {KEY}
            if others:
                allowed = "key, all that is kept"
                yield location, f"found {', '.join(sorted(others))}; allowed: {allowed}"

    def _comparison_problems(self) -> Iterator[tuple[Location, str]]:
        problem = why_no_selection(self.found, KEY)
        if problem is None and not compares_with(self.found, KEY) and not mention_key([self.path]):
            problem = "compares nothing with the delivery's key, so it could be anybody's"
        if problem:
            yield ("found",), f"{problem}; write a filter such as items[?external_id == key()]"

    def source_text(self) -> str:
        """Return it as JSON, for the ledger."""
        query = {
            name: item.source if isinstance(item, Template) else item
            for name, item in self.query.items()
        }
        whole = {"complete": self.complete} if self.complete else {}
        parts = {"path": self.path.source, "query": query, "found": self.found, **whole}
        return json.dumps({**parts, "results": self.results})


def mention_key(templates: Iterable[Template]) -> bool:
    """Tell whether one of these templates prints the delivery's key."""
    return any((KEY,) in set(template.references()) for template in templates)


def trace_of(look_up: LookUp | None) -> dict[str, str]:
    """Return a look-up as the ledger keeps it with a call; there is no contact text in it."""
    return {_TRACE: look_up.source_text()} if look_up else {}


def look_up_of(trace: Mapping[str, str]) -> LookUp:
    """Return the look-up that was written when a call was made."""
    if _TRACE not in trace:
        raise OutcomeUnknown("the action had no `look_up` when the call was made")
    try:
        return LookUp.model_validate(json.loads(trace[_TRACE]))
    except (ValidationError, ValueError):
        raise OutcomeUnknown("the `look_up` recorded with the call cannot be read") from None


def ask(calls: HttpCalls, look_up: LookUp, key: str) -> Receipt | None:
    """Return the receipt of a delivery that the API has; None where it surely has not."""

    def read(answer: Any, has_next_page: bool) -> Receipt | None:
        things = search(calls.vendor, look_up.found, answer, key=key)
        if not isinstance(things, list):
            raise TypeError("no list of things")
        if things:
            return receipt_of(calls.vendor, look_up.results, things[0])
        if has_next_page or not _is_whole(calls.vendor, look_up, answer):
            raise OutcomeUnknown(
                f"{calls.vendor} does not list it, and nothing says that it lists everything; "
                "`complete` of the look_up can"
            )
        return None

    path = render(look_up.path, {KEY: key})
    query = {name: text_of(_value_for(item, key)) for name, item in look_up.query.items()}
    cannot_tell = _NAMED_BY_THE_PATH if mention_key([look_up.path]) else ()
    return calls.ask(path, query, read=read, cannot_tell=cannot_tell)


def _value_for(value: Any, key: str) -> Any:
    return render(value, {KEY: key}) if isinstance(value, Template) else value


def _is_whole(vendor: str, look_up: LookUp, answer: Any) -> bool:
    """Tell whether an answer surely shows all that there is."""
    if look_up.complete is not None:
        return search(vendor, look_up.complete, answer) is True
    is_empty = search_unfiltered(vendor, look_up.found, answer) == []
    return is_empty and not _shows_more(answer)


def _shows_more(answer: Any) -> bool:
    """Tell whether anything is listed in an answer, or it says that there is more than it shows."""
    if not isinstance(answer, Mapping):
        return isinstance(answer, list) and bool(answer)
    return any(_says_more(name, value) or _shows_more(value) for name, value in answer.items())


def _says_more(name: str, value: Any) -> bool:
    """Tell whether a member of an answer that lists nothing says that it is not all there is."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    if _WHOLE.fullmatch(letters):
        return value is False
    if _COUNT.fullmatch(letters) or _LEFT_OUT.fullmatch(letters):
        return _number(value) > 0
    if _PLACE.fullmatch(letters):
        return _number(value) > 1
    is_mark = _MORE.fullmatch(letters) or _PARTIAL.fullmatch(letters)
    return bool(is_mark) and value not in _NOTHING


def _number(value: Any) -> int:
    """Return a number, also where it is written as a text; 0 of anything else."""
    is_number = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return int(value) if is_number else 0
