"""What is read once, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from segue.errors import DefinitionError

Result = TypeVar("Result")


def remembered(read: Callable[..., Result]) -> Callable[..., Result]:
    """Return a function that reads once: what comes of it, or the problems that it ends with."""
    outcomes: dict[tuple[Any, ...], Result | DefinitionError] = {}

    def call(*args: Any) -> Result:
        if args not in outcomes:
            try:
                outcomes[args] = read(*args)
            except DefinitionError as error:
                outcomes[args] = error
        outcome = outcomes[args]
        if isinstance(outcome, DefinitionError):
            raise DefinitionError(outcome.problems)
        return outcome

    return call
