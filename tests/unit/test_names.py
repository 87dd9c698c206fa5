"""Names of values say what the value is: hardly any is a participle or a particle alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "plugins" / "segue"
AREAS = sorted(
    path
    for path in PACKAGE.iterdir()
    if (path.is_dir() and path.name != "__pycache__") or path.suffix == ".py"
)
MOST = 0.01  # of an area's local assignments
IRREGULAR = frozenset(
    {
        *("begun", "bought", "broken", "brought", "built", "caught", "chosen", "done", "drawn"),
        *("fallen", "felt", "forgotten", "found", "frozen", "given", "gone", "grown", "heard"),
        *("held", "hidden", "kept", "known", "laid", "left", "lost", "made", "meant", "met"),
        *("paid", "risen", "said", "seen", "sent", "shown", "sold", "sought", "spoken"),
        *("stolen", "stood", "taken", "thrown", "told", "torn", "understood", "won", "worn"),
        *("written",),
    }
)
PARTICLES = frozenset(
    {
        *("above", "after", "again", "already", "apart", "as", "at", "away", "back", "before"),
        *("below", "beside", "by", "down", "in", "of", "off", "on", "out", "over", "still"),
        *("to", "under", "up", "within", "without", "yet"),
    }
)
# Nouns, and words of docs/conditions.md: a missing value, mixed types; a resolved workflow.
WORDS = frozenset(
    {
        *("bed", "building", "ceiling", "embed", "encoding", "ending", "feed", "heading"),
        *("hundred", "king", "listing", "mailing", "mapping", "meaning", "missing", "mixed"),
        *("morning", "need", "opening", "rating", "reading", "red", "resolved", "ring", "seed"),
        *("setting", "shed", "spacing", "speed", "spring", "string", "thing", "timing"),
        *("warning",),
    }
)


def is_bare(name: str) -> bool:
    """Tell whether a name is one participle or particle, and nothing beside it."""
    word = name.strip("_")
    if not word or "_" in word or word in WORDS:
        return False
    return word in IRREGULAR | PARTICLES or bool(re.fullmatch(r"[a-z]{2,}(ed|ing)", word))


def names_in(target: ast.expr) -> Iterator[ast.Name]:
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from names_in(element)
    elif isinstance(target, ast.Starred):
        yield from names_in(target.value)


def assignments(function: ast.AST) -> Iterator[ast.Name]:
    """Yield the names that a function itself assigns, loops and ``with`` among them."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from names_in(target)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.For):
            yield from names_in(node.target)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield from names_in(node.optional_vars)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from assignments(node)


def local_names(area: Path) -> Iterator[tuple[str, ast.Name]]:
    """Yield (file:line, name) of every assignment within a function."""
    for path in [area] if area.is_file() else sorted(area.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for name in assignments(node):
                    yield f"{path.relative_to(PACKAGE)}:{name.lineno}", name


@pytest.mark.parametrize("area", AREAS, ids=lambda path: path.stem)
def test_hardly_any_local_name_is_a_participle_or_a_particle(area):
    """A noun says what the value is: `run`, `receipts`, `choices`, where `found` says nothing."""
    names = list(local_names(area))
    bare = [f"{place} {name.id}" for place, name in names if is_bare(name.id)]
    assert len(bare) <= MOST * len(names) + 1, "\n".join(bare)


def test_what_is_bare():
    assert all(map(is_bare, ("found", "_known", "released", "waiting", "beside")))
    assert not any(map(is_bare, ("is_known", "missing", "mapping", "needs", "now", "kept_rows")))
