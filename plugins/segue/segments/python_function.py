"""The Python function that decides a segment: where it is, and what it is given and returns.

Definitions are read in every task process, so a function is only looked for here, in the syntax
tree of its file; its module is executed when a membership is computed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from segue.documents import did_you_mean
from segue.errors import DefinitionError, Problem

ALLOWED = "rules/vip.py:members (a file, from this one's folder) or our_package.rules:members"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class PythonFunction:
    """A function in a file; ``module`` is its import name, None for a file by its path."""

    source: str  # as it is written in the definition
    file: Path
    module: str | None
    name: str

    @classmethod
    def find(cls, source: str, folder: Path) -> PythonFunction:
        """Return the function that ``source`` names; raise ValueError if it is not there."""
        place, _, name = source.rpartition(":")
        if not place or not name.isidentifier():
            raise ValueError(f"found {source!r}; allowed: {ALLOWED}")
        if place.endswith(".py"):
            file, module = (folder / Path(place).expanduser()).resolve(), None
        else:
            file, module = _file_of(place), place
        function = cls(source, file, module, name)
        function._check()
        return function

    @cached_property
    def digest(self) -> str:
        """A digest of the file's content."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def _module_of_file(self) -> str:
        """A name of this file's own with this content: a module knows its place, and has state."""
        facts = f"{self.file}\0{self.digest}"
        return f"segue_segment_{hashlib.sha256(facts.encode()).hexdigest()[:16]}"

    def load(self) -> Callable[..., Any]:
        """Execute the module and return the function; raise DefinitionError if it is none."""
        name = self.module or self._module_of_file
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, self.file)
            _execute(spec, name)
        attribute = getattr(sys.modules[name], self.name, None)
        if not callable(attribute):
            message = f"{self.name} is not a function"
            raise DefinitionError([Problem(str(self.file), 0, 0, "", message)])
        function: Callable[..., Any] = attribute
        return function

    def _check(self) -> None:
        try:
            tree = ast.parse(self.file.read_bytes())
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(f"{self.source}: {self.file} cannot be read: {reason}") from None
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{self.source}: {self.file} is not Python: {error}") from None
        names = set(_names(tree))
        if self.name not in names and "*" not in names:
            hint = did_you_mean(self.name, names)
            raise ValueError(f"{self.source}: {self.file} has no function {self.name!r}{hint}")


def _file_of(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module) if _MODULE.fullmatch(module) else None
    except ImportError:
        spec = None
    if spec is not None and not str(spec.origin).endswith(".py"):
        raise ValueError(f"the module {module!r} has no file of Python's; allowed: {ALLOWED}")
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {module!r}; allowed: {ALLOWED}")
    return Path(spec.origin)


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield what a module's own statements define or import; ``*`` is an import of everything."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.ImportFrom() | ast.Import():
                yield from ((alias.asname or alias.name) for alias in node.names)
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _execute(spec: ModuleSpec | None, name: str) -> None:
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
