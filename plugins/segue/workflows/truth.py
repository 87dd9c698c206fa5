"""When a field's text is true in a template, and what ``a or b`` gives.

As in conditions ``no`` is false. But ``{{ contact.first_name or "there" }}`` asks for no truth: it
prints the name if there is one, and the name may be No. So where the value of ``or`` is used, it
is its left side unless that is missing; where it is only asked whether it is true, in ``if`` and
beside ``not`` and ``and``, each side is as conditions read it.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Undefined, nodes

VALUE, WORD = "_value", "_word"  # filters that no template can name


class FieldText(str):
    """A field's text: ``{% if contact.vip %}`` is as conditions read it, so ``no`` is false.

    Any other text that is not empty is true.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        from segue.directory.checks import FALSE_WORDS  # dear: DAGs are parsed without Arrow

        return len(self) > 0 and self.lower() not in FALSE_WORDS


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
    for name, value in list(node.iter_fields()):
        is_asked = _is_asked(node, name, asked=asked)
        if isinstance(value, list):
            setattr(node, name, [_rewritten(item, asked=is_asked) for item in value])
        else:
            setattr(node, name, _rewritten(value, asked=is_asked))


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
    return _through(WORD, node)


def _as_value(node: Any) -> Any:
    """Return the left side of an ``or``, by its value; of ``a and b`` that is ``b``."""
    if not isinstance(node, nodes.And):
        return _through(VALUE, node)
    node.right = _as_value(node.right)
    return node


def _through(name: str, node: Any) -> Any:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


__all__ = ["VALUE", "WORD", "FieldText", "default", "value_of", "with_truth", "word_of"]
