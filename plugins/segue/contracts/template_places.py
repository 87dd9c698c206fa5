"""Where the expressions of a template stand, as far as that can be told before there are values.

The text is followed in the order in which it is written, with both branches of an ``if`` one behind
the other. What a macro or a ``{% set %}`` block gives may be the author's own markup, and stands
anywhere. Whatever this does not see is refused when a value is there (``segue.contracts.writing``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

from segue.contracts.html_contexts import Place, State, behind, is_bare_name, problem_at
from segue.contracts.printing import Kind

_MARKUP = re.compile(r"[^\w\s.,]")
_UNESCAPED = (Kind.TEXT, Kind.LINE)
_FILTERED = (
    "a filter makes one value of a whole block, markup and all, and that is escaped; put the "
    "filter into the expressions: {{ contact.x | upper }}"
)


def place_problems(kind: Kind, tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Yield (line, problem) for each expression that can stand there for no contact."""
    if kind not in _UNESCAPED:
        yield from _filter_problems(tree)
    if kind is Kind.HTML:
        yield from _html_problems(tree)
    if kind is Kind.MRKDWN:
        yield from _mention_problems(tree)


def _filter_problems(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Find markup that would be escaped together with the values that are filtered."""
    blocks: list[nodes.FilterBlock | nodes.AssignBlock] = [*tree.find_all(nodes.FilterBlock)]
    blocks += tree.find_all(nodes.AssignBlock)
    for block in blocks:
        if block.filter is None:
            continue
        texts = (text for node in block.body for text in node.find_all(nodes.TemplateData))
        if any(_MARKUP.search(text.data) for text in texts):
            yield block.lineno, _FILTERED


def _html_problems(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    state, blocks = State(), _blocks_by_name(tree)
    for node in _output(tree):
        if isinstance(node, nodes.TemplateData):
            state = behind(state, node.data)
            continue
        if _may_be_markup(node, blocks):
            continue
        problem = problem_at(state)
        is_name = state.place is Place.ATTRIBUTES and all(map(is_bare_name, _constants(node)))
        if problem and not is_name:
            yield node.lineno, f"a value stands {problem}"
        state = state._replace(address=None)


def _mention_problems(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    text = ""
    for node in _output(tree):
        if isinstance(node, nodes.TemplateData):
            text = node.data
            continue
        if text.endswith("<!"):
            yield node.lineno, "a value stands behind <!, and would choose whom Slack mentions"
        text = ""


def _output(node: nodes.Node) -> Iterator[nodes.Expr]:
    """Yield the texts and expressions that are printed below a node, in the order of the source."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Output):
            yield from child.nodes
        else:
            yield from _output(child)


def _blocks_by_name(tree: nodes.Template) -> set[str]:
    """Return the names that hold what a ``{% set %}`` block gave."""
    blocks = tree.find_all(nodes.AssignBlock)
    return {block.target.name for block in blocks if isinstance(block.target, nodes.Name)}


def _may_be_markup(node: nodes.Expr, blocks: set[str]) -> bool:
    """Tell whether an expression may give the author's own text."""
    names = {name.name for name in node.find_all(nodes.Name)}
    if isinstance(node, nodes.Name):
        names.add(node.name)
    return isinstance(node, nodes.Call) or bool(names & blocks)


def _constants(node: nodes.Node) -> list[object]:
    """Return what an expression may give: constants, and None for anything else."""
    if isinstance(node, nodes.Const):
        return [node.value]
    if isinstance(node, nodes.CondExpr):
        others = _constants(node.expr2) if node.expr2 else []
        return [*_constants(node.expr1), *others]
    return [None]
