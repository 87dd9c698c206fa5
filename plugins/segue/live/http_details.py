"""Details from any HTTP API: one GET per contact, and where its fields are in the answer.

Where the request goes and with which credentials is the Airflow connection's affair, as for the
channel ``http_request``. What an answer means is in
``segue.channels.answer_meanings``; but 404 and 410
where the path has an expression, and 200 with no ``result``, say that there is no such contact, and
200 with another shape is a failure of this contact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from segue.channels.addressing import is_template
from segue.channels.http.answers import unless_sent, usual_codes
from segue.channels.http.calls import HttpCalls, open_api
from segue.channels.http.expressions import (
    ContactExpression,
    Expression,
    calls,
    search,
)
from segue.channels.http.fields import RequestPath, Scalar, path_problem, text_of
from segue.channels.rates import UNLIMITED, limits_of
from segue.contracts.channel import Finding, Limit, Tried
from segue.contracts.live_source import FOUND_BY, NOT_OURS, Answer, LiveReader, LiveSource
from segue.contracts.template_values import Fields
from segue.contracts.templates import Template, render
from segue.documents import Location, Name, ProblemsFound
from segue.errors import ContactFailure, OutcomeUnknown

if TYPE_CHECKING:
    from requests import Response

_NAMED_BY_THE_PATH = frozenset({404, 410})


class HttpDetails(LiveSource):
    """Ask any HTTP API for a contact's details.

    ``path`` and ``query`` are templates that see the snapshot's fields as ``contact``. ``result``
    finds the contact in the answer, where ``contact_id()`` is its id, and ``fields`` its fields
    below that.
    """

    name: ClassVar[str] = "http"
    reads: ClassVar[frozenset[str]] = frozenset()

    path: RequestPath
    query: dict[str, Scalar] = Field(default_factory=dict)
    result: ContactExpression = "@"
    fields: Annotated[dict[Name, Expression], FOUND_BY, NOT_OURS]

    @model_validator(mode="after")
    def _ask_for_the_contact(self) -> Self:
        problems: list[tuple[Location, str]] = []
        for location, template in self.templates():
            others = {ref[0] for ref in template.references()} - {"contact"}
            if others:
                problems.append((location, f"found {', '.join(sorted(others))}; allowed: contact"))
        if not any(is_template(template) for _, template in self.templates()):
            problems.append(((), "asks for no contact: say {{ contact.… }} in its path or query"))
        if problems:
            raise ProblemsFound(problems)
        return self

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """Yield that a query is trusted: an API may ignore a parameter, and show somebody else."""
        yield from super().remarks()
        if not is_template(self.path) and not calls(self.result, "contact_id"):
            message = (
                "an API that ignores a parameter shows somebody else's details; compare them, as "
                'in result: "items[?id == contact_id()] | [0]"'
            )
            yield ("query",), message

    @property
    def provides(self) -> Collection[str]:
        """Those of ``fields``."""
        return tuple(self.fields)

    def connect(self) -> HttpReader:
        """Open a session; nothing is asked yet."""
        limits = limits_of(self.connection, default=UNLIMITED)
        return HttpReader(self, open_api(self.connection, "look-up"), limits)


class HttpReader(LiveReader):
    """An open session with an API."""

    def __init__(self, source: HttpDetails, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._source = source
        self._calls = calls
        self._limits = limits

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Answer]:
        """Ask for one contact."""
        [(contact, fields)] = contacts.items()
        try:
            details = self._details(contact, fields)
        except ContactFailure as failure:
            return {contact: failure}
        return {} if details is None else {contact: details}

    def limits(self) -> Sequence[Limit]:
        """Return the connection's limit."""
        return self._limits

    @property
    def caveat(self) -> str | None:
        """That of the access tokens, if there are any."""
        return self._calls.caveat

    def check(self, needs: Set[str]) -> Finding:
        """Ask for an access token where one is needed, and for no contact."""
        state = "an access token was given" if self._calls.authorize() else "it opens"
        return Finding(Tried.UNTRIED, f"{state}, and no contact is asked for without a look-up")

    def _details(self, contact_id: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        source, vendor = self._source, self._calls.vendor
        path, query = _request(source, fields)
        request_text = " ".join([path, *query.values()])
        codes = unless_sent(usual_codes, request_text)
        answer = self._calls.fetch(path, query, codes=codes, is_absent=self._is_absent)
        try:
            if answer is None:
                return None
            contact = search(vendor, source.result, answer, contact_id=contact_id)
            if contact is None:
                return None
            found = {name: search(vendor, where, contact) for name, where in source.fields.items()}
        except OutcomeUnknown as error:  # it expects another shape
            raise ContactFailure(str(error)) from None
        if not isinstance(contact, Mapping) and set(found.values()) == {None}:
            # such as {"customer": "not now"}, which opts nobody in
            raise ContactFailure(f"{vendor} answered with what is no object, and has no field")
        return found

    def _is_absent(self, response: Response) -> bool:
        return is_template(self._source.path) and response.status_code in _NAMED_BY_THE_PATH


def _request(source: HttpDetails, fields: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return path and query for a contact; raise ContactFailure where they cannot be made."""
    variables = {"contact": Fields("contact", fields)}
    path = render(source.path, variables)
    problem = path_problem(path)
    if problem:
        raise ContactFailure(f"path: {problem}")
    query = {
        name: render(value, variables) if isinstance(value, Template) else text_of(value)
        for name, value in source.query.items()
    }
    return path, query
