"""Whom a workflow tells of what: notifiers of Airflow, named by their class.

The class is imported when there is something to tell, or to check, never when a DAG is parsed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from segue.workflows.definition import Notice


def build_notifier(notice: Notice) -> Callable[..., Any]:
    """Return the notifier that a notice describes; raise ValueError saying why there is none."""
    try:
        notifier = _notifier_class(notice)(**notice.arguments)
    except Exception as error:  # a constructor refuses in its own way
        raise ValueError(f"{notice.notifier}: {error}") from error
    return cast("Callable[..., Any]", notifier)


def _notifier_class(notice: Notice) -> Callable[..., Any]:
    module, _, name = notice.notifier.rpartition(".")
    notifier = getattr(import_module(module), name, None)
    if not inspect.isclass(notifier) or not callable(getattr(notifier, "notify", None)):
        raise ImportError(f"{module} has no notifier {name!r}: a class with the method notify")
    return notifier


def notice_problem(notice: Notice) -> str | None:
    """Return what is wrong with a notice: no such class, or arguments it cannot be made with.

    One is made to find out, since some hand on whatever they are given; that tells nobody.
    """
    try:
        build_notifier(notice)
    except ValueError as error:
        return str(error)
    return None
