"""What the template of one message may cost: rounds of loops and calls, and characters.

What a contact's fields hold decides how often a loop goes round and how long a text becomes. With
bounds, ``{{ '*' * contact.points }}`` fails the one contact with a thousand million points;
without, it takes the memory of the task that serves all the others.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import Undefined, nodes, pass_context

MOST_STEPS = 2_000_000  # rounds of all loops, and calls of filters, macros and methods
LONGEST = 10_000_000  # characters of what is rendered, and of every text on the way there
_MOST_BITS = 100_000  # of a whole number

# what makes a text as long as a number says, and what makes each of its parts longer
_PADDING = frozenset({"batch", "center", "ljust", "rjust", "slice", "tojson", "truncate", "zfill"})
_MULTIPLYING = frozenset({"expandtabs", "indent", "join", "replace", "wordwrap"})
_FORMATS = frozenset({"format", "format_map"})
_WIDTH = re.compile(r"\d{7}")
_BY_NAME = re.compile(r"%\(|\{[^}]")
_COMPUTED_WIDTH = re.compile(r"\{[^{}]*\{|\*")

ROUNDS, MADE = "_rounds", "_made"  # filters that no template can name


class TooMuch(Exception):
    """A template does more than one message may cost; says what."""


class _Budget:
    """What is left to one rendering."""

    def __init__(self) -> None:
        self.steps, self.printed = 0, 0

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > MOST_STEPS:
            raise TooMuch(f"its loops and calls go round more than {MOST_STEPS:,} times")

    def count_printed(self, text: str) -> None:
        self.printed += len(text)
        _require_short(self.printed)


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def bounded() -> Iterator[None]:
    """Give what is rendered within a budget of its own."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def joined(pieces: Iterable[str]) -> str:
    """Return the pieces of a rendering as one text; raise TooMuch where it would be too long."""
    return "".join(_of_length(pieces))


def count_printed(value: Any) -> Any:
    """Return what an expression prints; raise TooMuch where all of it is too much."""
    if isinstance(value, str) and (budget := _budget.get(None)) is not None:
        budget.count_printed(value)
    return value


def with_bounds(tree: nodes.Template) -> nodes.Template:
    """Return a template whose loops are counted, and whose joined texts are measured."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = through(ROUNDS, loop.iter)
    rewrite_fields(tree, _measure_joined)
    return tree


def call_within(call: Callable[..., Any], name: str, value: Any, arguments: Sequence[Any]) -> Any:
    """Make a call that a template asks for; raise TooMuch before or after one that costs it."""
    _step()
    _require_modest(name, value, arguments)
    return _require_short_value(call())


def bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of Jinja's that stays within bounds."""
    first = 1 if getattr(function, "jinja_pass_arg", None) else 0

    @wraps(function)
    def within(*args: Any, **named: Any) -> Any:
        value, *others = joinable(name, args[first:])
        call = lambda: function(*args[:first], value, *others, **named)  # noqa: E731 - called once
        return call_within(call, name, value, [*others, *named.values()])

    return within


def joinable(name: str, arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments of a call; what ``join`` goes through is measured on the way."""
    if name != "join":
        return arguments
    return [each if isinstance(each, str) else _of_length(each) for each in arguments]


def binary(operator: str, left: Any, right: Any, apply: Callable[[Any, Any], Any]) -> Any:
    """Return ``left operator right``; raise TooMuch where that would be too large."""
    _step()
    if operator == "*":
        _require_modest_product(left, right)
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        _require_few_bits(left.bit_length() * max(right, 1))
    if operator == "%" and isinstance(left, str):
        arguments = right if isinstance(right, tuple) else (right,)
        _require_modest("format", left, arguments)
    return _require_short_value(apply(left, right))


@pass_context
def rounds(_context: Any, items: Any) -> Any:
    """Return what a loop goes through, counted."""
    if isinstance(items, Undefined):
        return items
    if isinstance(items, Sized):
        _step(len(items))
        return items
    return _count_items(items)


@pass_context
def made(_context: Any, value: Any) -> Any:
    """Return a text that was joined of others; raise TooMuch where it is too long."""
    return _require_short_value(value)


def _count_items(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step()
        yield item


def _of_length(items: Any) -> Any:
    """Return a list of texts; raise TooMuch as soon as they are too long together."""
    if isinstance(items, Undefined) or not isinstance(items, Iterable):
        return items
    texts, length = [], 0
    for item in items:
        length += len(item) if isinstance(item, str) else 1
        _require_short(length)
        texts.append(item)
    return texts


def through(name: str, node: Any) -> Any:
    """Return an expression put through a filter."""
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def rewrite_fields(node: nodes.Node, rewrite: Callable[[str, Any], Any]) -> None:
    """Put ``rewrite(name, value)`` into each field of a node, or for each item of its list."""
    for name, value in list(node.iter_fields()):
        is_list = isinstance(value, list)
        setattr(node, name, [rewrite(name, x) for x in value] if is_list else rewrite(name, value))


def _measure_joined(_field: str, value: Any) -> Any:
    """Put ``a ~ b`` through the filter that measures it, wherever it stands."""
    if isinstance(value, nodes.Node):
        rewrite_fields(value, _measure_joined)
    return through(MADE, value) if isinstance(value, nodes.Concat) else value


def _step(count: int = 1) -> None:
    budget = _budget.get(None)  # None while a template is compiled
    if budget is not None:
        budget.step(count)


def _require_short_value(value: Any) -> Any:
    if isinstance(value, str | list | tuple):
        _require_short(len(value))
    return value


def _require_modest(name: str, value: Any, arguments: Sequence[Any]) -> None:
    numbers = [abs(each) for each in arguments if isinstance(each, int)]
    if name in _PADDING:
        _require_short(max(numbers, default=0))
    elif name == "round":
        _require_few_bits(max(numbers, default=0))
    elif name in _MULTIPLYING:
        lengths = (len(each) for each in arguments if isinstance(each, Sized))
        _require_short((_length(value) + 1) * (sum(numbers) + sum(lengths) + 1))
    elif name in _FORMATS and isinstance(value, str):
        _require_modest_format(value, arguments, max(numbers, default=0))


def _require_modest_format(text: str, arguments: Sequence[Any], greatest: int) -> None:
    if _WIDTH.search(text):
        raise TooMuch(f"it makes a text longer than {LONGEST:,} characters")
    if _COMPUTED_WIDTH.search(text):
        _require_short(greatest)
    _require_short(len(text) + _inserted_length(text, arguments))


def _inserted_length(text: str, arguments: Sequence[Any]) -> int:
    """Return how many characters of its arguments a format prints, at most."""
    lists = [list(each.values()) if isinstance(each, dict) else [each] for each in arguments]
    lengths = [_length(each) for each in itertools.chain.from_iterable(lists)]
    if _BY_NAME.search(text):  # one argument may be printed at every place
        return (text.count("%") + text.count("{")) * max(lengths, default=0)
    return sum(lengths)


def _require_modest_product(left: Any, right: Any) -> None:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | bytes | list | tuple) and isinstance(times, int):
            _require_short(len(value) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int):
        _require_few_bits(left.bit_length() + right.bit_length())


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) and not isinstance(value, Undefined) else 0


def _require_short(length: int) -> None:
    if length > LONGEST:
        raise TooMuch(f"it makes a text longer than {LONGEST:,} characters")


def _require_few_bits(bits: int) -> None:
    if bits > _MOST_BITS:
        raise TooMuch("it makes a number of too many digits")
