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
_CALL = 5  # steps: a call takes so many times as long as a round
_DEAR_CALL = 30  # of what is printed by Babel, as a language does
LONGEST = 10_000_000  # characters of what is rendered, and of every text on the way there
MOST_MADE = 5 * LONGEST  # characters of all texts on the way together; an item of a list is eight
_ITEM = 8
_MOST_BITS = 100_000  # of a whole number
_STEP = 200  # characters that a call may go through as one step
_LONGEST_RULE = 200  # hyphens in a row, which textwrap looks at again for each of them

_DEAR = frozenset({"date", "decimal", "money", "percent"})
# what makes a text as long as a number says, and what makes each of its parts longer
_PADDING = frozenset(
    {"batch", "center", "ljust", "rjust", "slice", "to_bytes", "tojson", "truncate", "zfill"}
)
_MULTIPLYING = frozenset({"expandtabs", "indent", "join", "replace", "wordwrap"})
_SPLITTING = frozenset(
    {
        *("list", "pprint", "rsplit", "sort", "split", "splitlines", "striptags", "title"),
        "unique",
    }
)
_FORMATS = frozenset({"format", "format_map"})
_SPEC = re.compile(
    r"%(?:\([^)]*\))?[^a-zA-Z%]*|\{[^{}]*"
)  # a place in a format, as far as its width
_WIDTH = re.compile(r"\d+")
_BY_NAME = re.compile(r"%\(|\{[^}]")
_COMPUTED_WIDTH = re.compile(r"\{[^{}]*\{|\*")

ROUNDS, MADE = "_rounds", "_made"  # filters that no template can name


class TooMuch(Exception):
    """A template does more than one message may cost; says what."""


class _Budget:
    """What is left to one rendering."""

    def __init__(self) -> None:
        self.steps, self.printed, self.made = 0, 0, 0

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > MOST_STEPS:
            raise TooMuch(f"its loops and calls go round more than {MOST_STEPS:,} times")

    def count_printed(self, text: str) -> None:
        self.printed += len(text)
        require_short(self.printed)

    def count_made(self, size: int) -> None:
        self.made += size
        if self.made > MOST_MADE:
            raise TooMuch(f"it makes texts of more than {MOST_MADE:,} characters together")


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def bounded() -> Iterator[None]:
    """Give what is rendered within a budget of its own."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def count_printed(text: str) -> None:
    """Count what an expression prints; raise TooMuch where all of it is too much."""
    if (budget := _budget.get(None)) is not None:
        budget.count_printed(text)


def with_bounds(tree: nodes.Template) -> nodes.Template:
    """Return a template whose loops are counted, and whose joined texts are measured."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = through(ROUNDS, loop.iter)
    rewrite_fields(tree, _measure_joined)
    return tree


def call_within(call: Callable[..., Any], name: str, value: Any, arguments: Sequence[Any]) -> Any:
    """Make a call that a template asks for; raise TooMuch before or after one that costs it."""
    _step(
        (_DEAR_CALL if name in _DEAR else _CALL)
        + (len(value) // _STEP if isinstance(value, str) else 0)
    )
    _require_modest(name, value, arguments)
    return counted(call())


def bounded_filter(
    name: str, function: Callable[..., Any], finish: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return a filter of Jinja's that stays within bounds, and whose result is ``finish``ed."""
    first = 1 if getattr(function, "jinja_pass_arg", None) else 0

    @wraps(function)
    def within(*args: Any, **named: Any) -> Any:
        value, *others = joinable(name, args[first:])
        call = lambda: function(*args[:first], value, *others, **named)  # noqa: E731 - called once
        return finish(call_within(call, name, value, [*others, *named.values()]))

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
    return counted(apply(left, right))


@pass_context
def rounds(_context: Any, items: Any) -> Any:
    """Return what a loop goes through, counted."""
    if isinstance(items, Undefined):
        return items
    if isinstance(items, Sized):
        _step(len(items))
        return items
    return _count_items(items)


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
        require_short(length)
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
    """Have ``a ~ b`` joined by the filter that measures it, wherever it stands."""
    if isinstance(value, nodes.Node):
        rewrite_fields(value, _measure_joined)
    if not isinstance(value, nodes.Concat):
        return value
    return through(MADE, nodes.List(value.nodes, lineno=value.lineno))


def _step(count: int = 1) -> None:
    budget = _budget.get(None)  # None while a template is compiled
    if budget is not None:
        budget.step(count)


def counted(value: Any) -> Any:
    """Return what was made on the way; raise TooMuch where it is too long, or all of it is."""
    if isinstance(value, str | list | tuple):
        require_short(len(value))
        if (budget := _budget.get(None)) is not None:
            budget.count_made(len(value) * (1 if isinstance(value, str) else _ITEM))
    return value


def _require_modest(name: str, value: Any, arguments: Sequence[Any]) -> None:
    numbers = [abs(each) for each in arguments if isinstance(each, int)]
    if name in _PADDING:
        require_short(max(numbers, default=0))
    elif name == "round":
        _require_few_bits(max(numbers, default=0))
    elif name in _SPLITTING:
        require_short(_length(value) * _ITEM)
    elif name in _MULTIPLYING:
        lengths = (len(each) for each in arguments if isinstance(each, Sized))
        require_short((_length(value) + 1) * (sum(numbers) + sum(lengths) + 1))
    elif name == "translate":
        others = (text for each in arguments if isinstance(each, dict) for text in each.values())
        require_short(_length(value) * max(map(_length, others), default=1))
    elif name in _FORMATS and isinstance(value, str):
        _require_modest_format(value, arguments, max(numbers, default=0))
    if name == "wordwrap" and isinstance(value, str):
        _require_modest_wrap(value)


def _require_modest_wrap(text: str) -> None:
    if "-" * _LONGEST_RULE in text or len(text) > LONGEST // 50:
        raise TooMuch("it wraps a text that is too long, or a rule of hyphens")


def _require_modest_format(text: str, arguments: Sequence[Any], greatest: int) -> None:
    widths = (width for spec in _SPEC.findall(text) for width in _WIDTH.findall(spec))
    require_short(sum(int(width[:9]) for width in widths))
    if _COMPUTED_WIDTH.search(text):
        require_short(greatest * (text.count("*") + text.count("{")))
    require_short(len(text) + _inserted_length(text, arguments))


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
            require_short(len(value) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int):
        _require_few_bits(left.bit_length() + right.bit_length())


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) and not isinstance(value, Undefined) else 0


def require_short(length: int) -> None:
    """Raise TooMuch where a text has, or would have, more characters than a message may."""
    if length > LONGEST:
        raise TooMuch(f"it makes a text longer than {LONGEST:,} characters")


def _require_few_bits(bits: int) -> None:
    if bits > _MOST_BITS:
        raise TooMuch("it makes a number of too many digits")
