"""One look at a page: who looks, and all that a page may be made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from segue.ledger import Ledger
from segue.web.access import Person, Viewer
from segue.web.connections import Definitions, OpenLedger
from segue.web.pages import link, page
from segue.workflows.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, with the person, the ledger and the definitions."""

    request: Request
    viewer: Person
    ledger: Ledger
    catalog: Catalog

    def page(self, template: str, **values: Any) -> HTMLResponse:
        """Return a rendered page."""
        return page(self.request, template, **values)

    def link(self, name: str, **parameters: Any) -> str:
        """Return the path of a route; parameters that are no part of it become the query."""
        return link(self.request, name, **parameters)

    def paging(
        self, number: int, total: int, at_once: int, name: str, /, **parameters: Any
    ) -> dict[str, Any]:
        """Return what a list shows of itself: its page, how many there are, and their addresses.

        ``name`` and ``parameters`` are those of the route; an ``address`` may change some of them.
        """
        return {
            "number": number,
            "total": total,
            "pages": max(1, -(-total // at_once)),
            "address": lambda **changes: self.link(name, **{**parameters, **changes}),
        }


def _visit(request: Request, viewer: Viewer, ledger: OpenLedger, catalog: Definitions) -> Visit:
    return Visit(request, viewer, ledger, catalog)


ThisVisit = Annotated[Visit, Depends(_visit)]
