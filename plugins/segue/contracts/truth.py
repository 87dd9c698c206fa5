"""When a field's text is true in a template, and what ``a or b`` gives.

As in conditions ``no`` is false. But ``{{ contact.first_name or "there" }}`` asks for no truth: it
prints the name if there is one, and the name may be No. So where the value of ``or`` is used, it
is its left side unless that is missing; where it is only asked whether it is true, in ``if`` and
beside ``not`` and ``and``, each side is as conditions read it. Compared with ``true``, ``false`` or
a number, a field's text is read as one, as by ``equals`` in a condition.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Self

from jinja2 import Undefined, nodes

from segue.contracts.bounds import rewrite_fields, through

VALUE, WORD = "_value", "_word"  # filters that no template can name
RESPELLING = ("capitalize", "lower", "string", "trim", "upper")  # Jinja's, that leave its truth


class FieldText(str):
    """A field's text: ``{% if contact.vip %}`` is as conditions read it, so ``no`` is false.

    Any other text that is not empty is true. In another case, or without the blanks around it, it
    is a field's text still.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __bool__(self) -> bool:
        return len(self) > 0 and _word(self) is not False

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool):
            return _word(self) is other
        if isinstance(other, int | float | Decimal):
            return _is_number(self, other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def lower(self) -> Self:
        """Return the text in lower case."""
        return type(self)(super().lower())

    def upper(self) -> Self:
        """Return the text in upper case."""
        return type(self)(super().upper())

    def capitalize(self) -> Self:
        """Return the text with one capital."""
        return type(self)(super().capitalize())

    def strip(self, chars: str | None = None, /) -> Self:
        """Return the text without the blanks around it."""
        return type(self)(super().strip(chars))


def of_word(respell: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of RESPELLING, to which a boolean is the text that it is printed as."""

    def respelt(value: Any, *args: Any, **named: Any) -> Any:
        word = FieldText("true" if value else "false") if isinstance(value, bool) else value
        return respell(word, *args, **named)

    return respelt


def _word(text: str) -> bool | None:
    """Return the boolean that a text is to conditions, whatever blanks are around it, or None."""
    from segue.directory.checks import FALSE_WORDS, TRUE_WORDS  # dear: DAGs are parsed without it

    word = str(text).strip().lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


def _is_number(text: str, number: float | Decimal) -> bool:
    from segue.segments.columns.readings import read_number

    exact = Decimal(repr(number)) if isinstance(number, float) else number
    return read_number(str(text)) == exact


def is_true(value: Any) -> bool:
    """Tell whether a value is true: ``contact.vip is true``."""
    return value is True or (isinstance(value, FieldText) and value == True)  # noqa: E712


def is_false(value: Any) -> bool:
    """Tell whether a value is false: ``contact.vip is false``."""
    return value is False or (isinstance(value, FieldText) and value == False)  # noqa: E712


class _FieldValue(FieldText):
    """The same on the left of an ``or`` whose value is used: true wherever it is there."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return len(self) > 0


def value_of(value: Any) -> Any:
    """Return a field's text so that ``or`` asks only whether it is there."""
    return _FieldValue(value) if isinstance(value, FieldText) else value


def word_of(value: Any) -> Any:
    """Return what ``value_of`` was given."""
    return FieldText(value) if isinstance(value, _FieldValue) else value


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Return a value, or another if it is undefined, an empty list, or with ``boolean`` false.

    It is Jinja's own filter, to which a name that is No is a value, as it is to ``or``.
    """
    absent = (
        isinstance(value, Undefined)
        or (isinstance(value, list) and not value)
        or (boolean and not value_of(value))
    )
    return default_value if absent else value


def with_truth(tree: nodes.Template) -> nodes.Template:
    """Return a template in which ``a or b`` gives ``a`` wherever that is there."""
    _rewrite(tree)
    return tree


def _rewrite(node: Any, *, asked: bool = False) -> None:
    """Rewrite what is below a node; ``asked``: only whether the node itself is true matters."""
    rewrite_fields(
        node, lambda name, value: _rewritten(value, asked=_is_asked(node, name, asked=asked))
    )


def _is_asked(node: nodes.Node, name: str, *, asked: bool) -> bool:
    """Tell whether only the truth of what stands in a node's field matters."""
    if isinstance(node, nodes.If | nodes.CondExpr | nodes.For) and name == "test":
        return True
    if isinstance(node, nodes.Not) or (isinstance(node, nodes.And) and name == "left"):
        return True
    return asked and isinstance(node, nodes.And | nodes.Or)


def _rewritten(node: Any, *, asked: bool) -> Any:
    if not isinstance(node, nodes.Node):
        return node
    _rewrite(node, asked=asked)
    if not isinstance(node, nodes.Or) or asked:
        return node
    node.left = _as_value(node.left)
    return through(WORD, node)


def _as_value(node: Any) -> Any:
    """Return the left side of an ``or``, by its value; of ``a and b`` that is ``b``."""
    if not isinstance(node, nodes.And):
        return through(VALUE, node)
    node.right = _as_value(node.right)
    return node
