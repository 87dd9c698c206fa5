"""One look at a page: who looks, and all that a page may be made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from segue.ledger import Ledger
from segue.operators.environment import task_settings
from segue.web.access import Person, Viewer
from segue.web.connections import Definitions, OpenLedger, is_nothing
from segue.web.dags import release_trouble
from segue.web.pages import link, page
from segue.workflows.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a list: which one, of how many items, and the addresses of the others.

    ``address`` returns that of the same list with some of its parameters changed.
    """

    number: int
    total: int
    pages: int
    at_once: int
    address: Callable[..., str]

    @property
    def offset(self) -> int:
        """How many items come before."""
        return (self.number - 1) * self.at_once

    @property
    def values(self) -> dict[str, Any]:
        """What a template shows of it."""
        names = ("number", "total", "pages", "address")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, with the person, the ledger and the definitions."""

    request: Request
    viewer: Person
    ledger: Ledger
    catalog: Catalog

    def page(self, template: str, **values: Any) -> HTMLResponse:
        """Return a rendered page."""
        return page(
            self.request,
            template,
            nothing_recorded=is_nothing(self.ledger),
            release_trouble=release_trouble,
            profile=task_settings().profile,
            **values,
        )

    def link(self, name: str, **parameters: Any) -> str:
        """Return the path of a route; parameters that are no part of it become the query."""
        return link(self.request, name, **parameters)

    def part(
        self,
        number: int,
        total: int,
        at_once: int,
        name: str,
        /,
        *,
        deepest: int | None = None,
        **parameters: Any,
    ) -> Part:
        """Return a page of a list; beyond the last one it is the last, or ``deepest``.

        ``name`` and ``parameters`` are those of the route.
        """
        pages = max(1, -(-total // at_once))
        pages = pages if deepest is None else min(deepest, pages)

        def address(**changes: Any) -> str:
            return self.link(name, **{**parameters, **changes})

        return Part(min(number, pages), total, pages, at_once, address)


def _visit(request: Request, viewer: Viewer, ledger: OpenLedger, catalog: Definitions) -> Visit:
    return Visit(request, viewer, ledger, catalog)


ThisVisit = Annotated[Visit, Depends(_visit)]
