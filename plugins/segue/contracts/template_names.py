"""What the expressions of a template read, by its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import nodes

_OF_THE_SAME = frozenset({"list", "rejectattr", "reverse", "selectattr", "sort", "unique"})


def are_contacts(node: nodes.Node) -> bool:
    """Tell whether an expression is ``digest.contacts``, or some of them, or in another order."""
    while isinstance(node, nodes.Getitem | nodes.Filter) and node.node is not None:
        same = node.name in _OF_THE_SAME if isinstance(node, nodes.Filter) else True
        if not same or (isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice)):
            break
        node = node.node
    return dotted_name(node) == ("digest", "contacts")


def names_in(
    node: nodes.Node, *above: nodes.Node
) -> Iterator[tuple[nodes.Name, nodes.Node, Sequence[nodes.Node]]]:
    """Yield each name that is read below ``node``, with what it stands in, and what that is in.

    The last are all nodes around it, the innermost first.
    """
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Name) and child.ctx == "load":
            yield child, node, above
        yield from names_in(child, node, *above)


def is_a_field(node: nodes.Node) -> bool:
    """Tell whether ``contact.email`` or ``contact["email"]`` is read here."""
    is_computed = isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const)
    return isinstance(node, nodes.Getattr | nodes.Getitem) and not is_computed


def keeps_contacts(name: str, node: nodes.Node, above: Sequence[nodes.Node]) -> bool:
    """Tell whether ``digest`` and ``loop`` are used here without handing contacts on."""
    attribute = node.attr if isinstance(node, nodes.Getattr) else None
    if name == "loop":
        return attribute not in (None, "previtem", "nextitem")
    if attribute == "contacts":
        user = next((each for each in above if not _is_a_part(each)), None)
        is_counted = isinstance(user, nodes.Filter) and user.name in ("length", "count")
        return is_counted or (isinstance(user, nodes.For) and isinstance(user.target, nodes.Name))
    return attribute is not None


def _is_a_part(node: nodes.Node) -> bool:
    """Tell whether some of what is inside are taken here, or all in another order, unread."""
    if isinstance(node, nodes.Filter):
        return node.name in ("list", "reverse")
    return isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)


def dotted_name(node: nodes.Node) -> tuple[str, ...] | None:
    """Return what is read here, such as ``("contact", "email")``; None where it is computed."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        inner, name = dotted_name(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        inner, name = dotted_name(node.node), str(node.arg.value)
    else:
        return None
    return (*inner, name) if inner else None
