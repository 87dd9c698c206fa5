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


def _visit(request: Request, viewer: Viewer, ledger: OpenLedger, catalog: Definitions) -> Visit:
    return Visit(request, viewer, ledger, catalog)


ThisVisit = Annotated[Visit, Depends(_visit)]
