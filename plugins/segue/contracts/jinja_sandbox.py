"""Jinja as templates get it: sandboxed and bounded, with filters that do not guess."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, FileSystemLoader, StrictUndefined, TemplateNotFound, pass_context
from jinja2.exceptions import UndefinedError
from jinja2.filters import do_float, do_int
from jinja2.sandbox import ImmutableSandboxedEnvironment

from segue.contracts.bounds import (
    MADE,
    ROUNDS,
    binary,
    bounded_filter,
    call_within,
    counted,
    joinable,
    rounds,
    with_bounds,
)
from segue.contracts.local_formats import FILTERS
from segue.contracts.printing import Kind, printed
from segue.contracts.rendered import as_data, concat, joined
from segue.contracts.template_values import Fields, MissingField
from segue.contracts.truth import (
    RESPELLING,
    VALUE,
    WORD,
    default,
    is_false,
    is_true,
    of_word,
    value_of,
    with_truth,
    word_of,
)
from segue.errors import ContactFailure


class _Missing(StrictUndefined):
    """A missing value: false in ``{% if %}`` and for ``or``; an error where it is printed."""

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with ``Fields`` read by entry only, and nothing changed by a template.

    What a template costs is bounded: see ``segue.contracts.bounds``.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})
    concat = staticmethod(concat)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``; the name stands in the template."""
        if isinstance(obj, Fields):
            return self._entry(obj, attribute, MissingField)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``; the name may come from a contact."""
        if isinstance(obj, Fields):
            return self._entry(obj, argument, UndefinedError)
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator gives, within bounds."""
        return binary(operator, left, right, self.binop_table[operator])

    def call(__self, __context: Any, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: N805
        """Call a macro or a method, within bounds."""
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja's own around str.format
        name = getattr(method, "__name__", "")
        arguments = joinable(name, args)
        result = call_within(
            lambda: super(_Environment, __self).call(__context, __obj, *arguments, **named),
            name,
            getattr(method, "__self__", None),
            [*arguments, *named.values()],
        )
        return as_data(result)

    def _generate(self, source: Any, *args: Any, **named: Any) -> str:
        return super()._generate(with_truth(with_bounds(source)), *args, **named)

    def _entry(self, fields: Fields, name: Any, error: type[UndefinedError]) -> Any:
        if name in fields:
            return fields[name]
        return self.undefined(f"{fields._name}.{name}", obj=fields, name=str(name), exc=error)


class _Folder(FileSystemLoader):
    """The templates of a folder, never what a link in it leads to outside."""

    def get_source(self, environment: Any, template: str) -> Any:
        """Return a template's source; raise TemplateNotFound where it cannot be read."""
        try:
            source = super().get_source(environment, template)
        except (OSError, UnicodeDecodeError):  # TemplateNotFound is an OSError
            raise TemplateNotFound(template) from None
        root = Path(self.searchpath[0]).resolve()
        if not Path(source[1]).resolve().is_relative_to(root):
            raise TemplateNotFound(template)
        return source


def _number(value: Any) -> Any:
    """Return a field as a number, as conditions read it; a ContactFailure where it is none."""
    # dear: DAG files are parsed without Arrow
    from segue.segments.columns.readings import read_number

    number = read_number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        if isinstance(value, StrictUndefined):
            return value
        raise ContactFailure("the filter `number` meets a value that is no number")
    if isinstance(value, str) and isinstance(number, Decimal):
        return int(number) if number == number.to_integral_value() else float(number)
    return number


def _whole_number(value: Any, default: Any = None, base: int = 10) -> Any:
    """Return what Jinja's ``int`` does; without a default it makes no 0 of what is no number."""
    return _read_or_fail("int", do_int(value, default, base))


def _float(value: Any, default: Any = None) -> Any:
    """Return what Jinja's ``float`` does; without a default it makes no 0 of what is no number."""
    return _read_or_fail("float", do_float(value, default))


def _read_or_fail(name: str, number: Any) -> Any:
    if number is None:
        raise ContactFailure(f"the filter `{name}` meets a value that is no number")
    return number


@pass_context
def _joined(_context: object, parts: list[Any]) -> str:
    return str(counted(joined(parts)))


def _unescaped(value: Any) -> str:
    """Return text for what escapes it elsewhere, as here every value is escaped where it stands."""
    return str(value)


@lru_cache(maxsize=64)
def environment_of(kind: Kind, folder: str | None) -> ImmutableSandboxedEnvironment:
    """Return Jinja for templates of a kind, which may include those of a folder."""
    environment = _Environment(
        undefined=_Missing,
        autoescape=False,  # what is printed is escaped once all is there: segue.contracts.writing
        finalize=printed,
        loader=_Folder(folder) if folder else DictLoader({}),
        keep_trailing_newline=False,
    )
    for name in ("attr", "safe", "urlize", "xmlattr"):  # each trusts text that a contact may write
        del environment.filters[name]
    environment.filters |= {"number": _number, "default": default, "d": default}
    environment.filters |= FILTERS
    environment.filters |= {"int": _whole_number, "float": _float}
    environment.filters |= {name: of_word(environment.filters[name]) for name in RESPELLING}
    environment.tests |= {"true": is_true, "false": is_false}
    if kind in (Kind.HTML, Kind.MRKDWN):  # where every value is escaped
        environment.filters |= dict.fromkeys(("e", "escape", "forceescape"), _unescaped)
    environment.filters = {
        name: bounded_filter(name, function, as_data)
        for name, function in environment.filters.items()
    }
    environment.filters |= {ROUNDS: rounds, MADE: _joined, VALUE: value_of, WORD: word_of}
    environment.globals.clear()
    return environment
