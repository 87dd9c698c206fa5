"""Pages: templates that escape everything."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import URL

from segue.ledger.reasons import in_words
from segue.web.forms import csrf_field
from segue.web.legible import legible

FOLDER = Path(__file__).resolve().parent  # the plugins' folder may stand behind a link
STATIC = FOLDER / "static"

NAVIGATION = (  # routes' names, what is shown, and how the paths of the pages below begin
    ("workflows", "Workflows", ("/workflow", "/run", "/task", "/deliver", "/plan")),
    ("segments", "Segments", ("/segment",)),
    ("contact", "Contacts", ("/contact",)),
    ("requests", "Requests", ("/request",)),
)

_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a rendered page. ``tab`` in the query leaves out Segue's own navigation."""

    def url(name: str, **parameters: Any) -> str:
        return link(request, name, **parameters)

    text = _templates.get_template(template).render(
        request=request,
        url=url,
        airflow=lambda path: f"{_root(request, of_airflow=True)}/{path}",
        here=str(request.scope.get("path", "")).removeprefix(_root(request)),
        navigation=NAVIGATION,
        in_tab=_in_tab(request),
        csrf_field=lambda: csrf_field(request),
        version=static_version(),
        **values,
    )
    return HTMLResponse(text, status_code=status)


def link(request: Request, name: str, **parameters: Any) -> str:
    """Return the path of a route, below the address that Airflow is served at.

    Parameters that are no part of the path become the query; those that are None are left out.
    What is looked at in a tab of Airflow's leads to pages in that tab: without our navigation.
    """
    route = next(route for route in request.app.routes if getattr(route, "name", None) == name)
    in_path = {key: parameters.pop(key) for key in route.param_convertors}
    if not in_path and _in_tab(request):
        parameters["tab"] = "1"
    path = str(request.app.url_path_for(name, **in_path))
    query = {
        key: "true" if value is True else str(value)
        for key, value in parameters.items()
        if value is not None and value is not False and value != ""
    }
    return str(URL(_root(request) + path).include_query_params(**query))


def _in_tab(request: Request) -> bool:
    """Tell whether a page is shown in a tab of a DAG, a run or a task."""
    return request.query_params.get("tab") == "1"


def _root(request: Request, *, of_airflow: bool = False) -> str:
    """Return the path that Segue's pages, or Airflow itself, are served at."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return root.removesuffix("/segue") if of_airflow else root


@lru_cache(maxsize=1)
def static_version() -> str:
    """Return a digest of all static files: a new version is a new address for the browser."""
    digest = hashlib.sha256()
    for path in static_files().values():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=1)
def static_files() -> Mapping[str, Path]:
    """Return the files that browsers may ask for, by their paths below ``static/``, sorted."""
    files = sorted(path for path in STATIC.rglob("*") if path.is_file())
    return {path.relative_to(STATIC).as_posix(): path for path in files}


def _time(value: datetime | None, missing: str = "—") -> Markup:
    """Return an instant in UTC; segue.js shows it in the zone chosen in Airflow, UTC on hover."""
    if value is None:
        return Markup('<span class="none">{}</span>').format(missing)
    utc = value.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        utc.isoformat(), f"{utc:%Y-%m-%d %H:%M}"
    )


def _state(value: str) -> Markup:
    return Markup('<span class="state state-{}">{}</span>').format(value, value)


def _web_link(value: str | None) -> str | None:
    """Return an address that a link may have: a vendor's answer could hold ``javascript:``."""
    if value is None or not value.lower().startswith(("https://", "http://")):
        return None
    return value


_FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'"
)
_LINK = re.compile(r"<(?=link\b)", re.IGNORECASE)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)


def _framed(html: str) -> str:
    """Return a message's HTML for a frame of a preview, which has no address of its own.

    Such a frame has the policy of the page around it, which lets that page load its own style and
    scripts: the message's own policy comes on top, and lets it load nothing.
    """
    html = without_links(html)
    start = _DOCTYPE.match(html)
    end = start.end() if start else 0
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_FRAME_POLICY}">'
    return html[:end] + meta + html[end:]


def without_links(html: str) -> str:
    """Return HTML in which no ``<link>`` is one: no policy keeps it from opening a connection.

    ``rel="preconnect"`` tells its host that somebody looks at the message.
    """
    return _LINK.sub("<no-", html)


_templates.filters.update(
    framed=_framed,
    legible=legible,
    in_words=lambda reason, outcome: in_words(outcome, reason),
    number=lambda value: "—" if value is None else f"{value:,}",
    pretty=partial(json.dumps, ensure_ascii=False, indent=2, default=str),
    state=_state,
    time=_time,
    to_json=partial(json.dumps, ensure_ascii=False),
    web_link=_web_link,
)
