"""Any HTTP API as an action: one request from templates, and what its answer means.

Where the request goes and with which credentials is the Airflow connection's affair (type HTTP:
host, login and password, or headers in its extra); the definition gives a path below that host.

Followed:
    RFC 9110 (methods in section 9, field values in 5.5, status codes in 15)
    RFC 3986, section 3.3 (segments of a path)
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
    https://docs.stripe.com/api/idempotent_requests (the header's best known implementation)
    https://jmespath.org/specification.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from segue.channels.addressing import TeamChannel, is_template
from segue.channels.http.answers import (
    codes_in,
    unless_sent,
    usual_codes,
)
from segue.channels.http.calls import HttpCalls, is_2xx, open_api
from segue.channels.http.expressions import KeyExpression, is_true, search
from segue.channels.http.fields import (
    Body,
    Headers,
    KeyHeader,
    MediaType,
    RequestPath,
    Scalar,
    header_value,
    path_problem,
    text_of,
)
from segue.channels.http.look_up import (
    LookUp,
    ask,
    look_up_of,
    mention_key,
    trace_of,
)
from segue.channels.http.results import Result, receipt_of
from segue.channels.http.sender import HttpSender
from segue.channels.http.statuses import DeliveredOn, Refusals
from segue.channels.look_ups import look_from
from segue.channels.rates import UNLIMITED, limits_of
from segue.contracts.channel import Finding, Limit, PartlyFound, Receipt, Tried
from segue.contracts.templates import Template, Text
from segue.documents import Location, Name, ProblemsFound, format_location
from segue.errors import ContactFailure, OutcomeUnknown, TransientFailure

if TYPE_CHECKING:
    from requests import Response

_IDEMPOTENCY = "idempoten"  # in codes and texts: idempotency_key_in_use, Idempotent request …
_NOT_OF_A_REQUEST = frozenset({401, 402, 407, 408, 425, 429})  # but of the connection, or the time
# what a field's name holds, anywhere or as a word of its own, that reaches a person
_ADDRESS_PARTS = ("email", "phone", "mobile", "whatsapp", "msisdn", "address", "telegram")
_ADDRESS_WORDS = frozenset(
    {"mail", "tel", "cell", "sms", "fax", "device", "push", "token", "chat", "handle"}
)


class HttpRequest(TeamChannel):
    """Call any HTTP API.

    The host, the credentials and what every call carries come from the connection. The message is
    for the team unless ``audience: contact`` says that the API writes to the contact, which only
    the team can know: where the request has an address of the contact, ``audience`` is required.

    No rate is known of an API that can be any; the connection's ``segue_rate`` gives one. The
    delivery's key is sent in ``idempotency_header``, and is ``{{ key }}`` in templates.

    A delivery is doubtful when the answer was lost, when it is no success that can be read, or
    when the API says that it had the key in another request. With ``look_up`` the API is asked for
    the key; without, the delivery is *uncertain*.
    """

    name: ClassVar[str] = "http_request"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 120.0

    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = "POST"
    path: RequestPath
    query: dict[str, Scalar] = Field(default_factory=dict)
    json_body: Annotated[Body, Field(alias="json")] = None
    form: dict[str, Scalar] | None = None
    text: Text | None = None
    content_type: MediaType | None = None
    headers: Headers = Field(default_factory=dict)
    idempotency_header: KeyHeader | None = "Idempotency-Key"
    success: KeyExpression | None = None
    delivered_on: DeliveredOn = Field(
        default_factory=dict, description="Refusals that say that it is there already"
    )
    of_the_contact: Refusals = Field((), description="Refusals that are of this contact alone")
    results: dict[Name, Result] = Field(default_factory=dict)
    look_up: LookUp | None = None
    check: RequestPath | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [
            *_audience_problems(self),
            *_body_problems(self),
            *_header_problems(self),
            *_status_problems(self),
            *_look_up_problems(self),
        ]
        if self.check is not None and is_template(self.check):
            problems.append((("check",), "is asked for without a contact: no template"))
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def can_be_asked(self) -> bool:
        """Where a look-up was written."""
        return self.look_up is not None

    @property
    def needs(self) -> Set[str]:
        """The path that shows whether the connection works, where one was written."""
        return frozenset({self.check.source} if self.check else ())

    def connect(self) -> HttpRequests:
        """Open a session; nothing is sent yet."""
        limits = limits_of(self.connection, default=UNLIMITED)
        calls = open_api(self.connection, "action", can_be_asked=self.can_be_asked)
        return HttpRequests(self, calls, limits)

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request of one contact; raise ContactFailure where it cannot be made."""
        fields = ("method", "path", "query", "json", "form", "text", "headers")
        message = {key: item for key, item in super().render(variables).items() if key in fields}
        problem = path_problem(message["path"])
        if problem:
            raise ContactFailure(f"path: {problem}")
        for name, value in message["headers"].items():
            message["headers"][name] = header_value(name, value)
        return message

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the look-up as it is written now; there is no contact text in it."""
        return trace_of(self.look_up)


class HttpRequests(HttpSender):
    """An open connection to an API."""

    def __init__(self, channel: HttpRequest, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        super().__init__(calls, limits)
        self._channel = channel

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Make one call."""
        request = _request_of(self._channel, message, key)
        try:
            return self._receipt(self._call(request, key), key)
        except OutcomeUnknown as error:
            if self._channel.method == "GET":  # it changes nothing, so it may be repeated
                raise TransientFailure(str(error)) from None
            raise

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look each delivery up as its action said when it was sent, in one call each."""
        look_from(since)
        receipts: dict[str, Receipt] = {}
        doubt: OutcomeUnknown | None = None
        for key, trace in traces.items():
            try:
                receipt = ask(self._calls, look_up_of(trace), key)
            except OutcomeUnknown as error:
                doubt = error
            else:
                receipts |= {key: receipt} if receipt else {}
        if doubt is not None:
            raise PartlyFound(str(doubt), receipts) from None
        return receipts

    def check(self, needs: Set[str]) -> Finding:
        """GET each path that an action gives for it; any answer of success will do."""
        for path in sorted(needs):
            self._calls.call("GET", path)
        if needs:
            return Finding(Tried.OK, f"answers GET {', '.join(sorted(needs))}")
        state = "an access token was given" if self._calls.authorize() else "it is defined"
        return Finding(Tried.UNTRIED, f"{state}; give a path in `check` to try it")

    def _call(self, request: _Request, key: str) -> Response:
        """Return an answer that is a success; raise what any other stands for."""
        channel = self._channel
        return self._calls.call(
            channel.method,
            request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            codes=request.codes_of,
            of_the_contact=channel.of_the_contact,
            is_success=partial(self._is_success, request, key),
        )

    def _is_success(self, request: _Request, key: str, response: Response) -> bool:
        """Tell whether an answer is a 2xx, or a refusal that says that it is there already."""
        status, conditions = response.status_code, self._channel.delivered_on
        if is_2xx(response):
            return True
        if self._channel.method != "GET" and _is_of_the_key(request, response):
            words = ", ".join([str(status), *codes_in(response, request.codes_of)])
            raise OutcomeUnknown(
                f"{self._calls.vendor} answered {words}: it has had this delivery's key in another "
                f"request: look for {key}"
            )
        if status not in conditions:
            return False
        condition = conditions[status]
        if condition is None:
            return True
        try:
            return is_true(search(self._calls.vendor, condition, response.json(), key=key))
        except (ValueError, RecursionError, OutcomeUnknown):  # it is another refusal, then
            return False

    def _receipt(self, response: Response, key: str) -> Receipt:
        channel, vendor = self._channel, self._calls.vendor
        answer = self._answer(response)
        condition = channel.success if is_2xx(response) else None
        if condition and not is_true(search(vendor, condition, answer, key=key)):
            raise ContactFailure(f"{vendor} accepted the call, but its answer is no `success`")
        return receipt_of(vendor, channel.results, answer, response.headers)

    def _answer(self, response: Response) -> Any:
        """Return the answer's JSON; None where it has none, and nothing depends on that.

        An API that takes what it is sent may say nothing more: 202 with no body is an acceptance.
        """
        channel = self._channel
        is_judged = channel.success and is_2xx(response)
        is_read = any(isinstance(result, str) for result in channel.results.values())
        is_asked = is_read and channel.method == "GET" and response.content
        try:
            return response.json() if is_judged or is_read else None
        except (ValueError, RecursionError):
            if is_judged or is_asked:
                raise OutcomeUnknown(
                    f"{self._calls.vendor} answered {response.status_code} with what is not JSON"
                ) from None
            return None


@dataclass(frozen=True, slots=True)
class _Request:
    """A rendered request, as it goes over the wire."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str | bytes]
    body: bytes | None

    @property
    def text(self) -> str:
        """All of it, to compare with what an answer repeats."""
        body = (self.body or b"").decode("utf-8", "replace")
        return " ".join([self.path, *self.query.values(), *map(str, self.headers.values()), body])

    def codes_of(self, answer: Any) -> Iterator[object]:
        """Return the codes of a refusal that do not repeat what was sent."""
        return unless_sent(usual_codes, self.text)(answer)


def _is_of_the_key(request: _Request, response: Response) -> bool:
    """Tell whether a refusal is about a key that the API has had in another request.

    Any of its texts may say so, wherever it stands in JSON, and so may one that is no JSON. The
    draft's own example has it in a title and in the address of a page.
    """
    if response.status_code // 100 != 4 or response.status_code in _NOT_OF_A_REQUEST:
        return False
    if _IDEMPOTENCY in request.text.casefold():  # it may be repeated
        return any(_IDEMPOTENCY in code.lower() for code in codes_in(response, request.codes_of))
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = response.content.decode("utf-8", "replace")
    return any(_IDEMPOTENCY in text.casefold() for text in _texts_in(answer))


def _texts_in(answer: Any) -> Iterator[str]:
    """Yield the texts of an answer, without the names of its fields."""
    parts = [answer]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            yield part
        if isinstance(part, Mapping | list):
            parts += part.values() if isinstance(part, Mapping) else part


def _request_of(channel: HttpRequest, message: Mapping[str, Any], key: str) -> _Request:
    """Return the request of a rendered message."""
    headers: dict[str, str | bytes] = dict(message["headers"])
    if channel.idempotency_header and channel.method != "GET":
        headers[channel.idempotency_header] = key
    body, content_type = _body_of(channel, message)
    if content_type:
        headers["Content-Type"] = content_type
    return _Request(message["path"], _texts(message["query"]), headers, body)


def _body_of(channel: HttpRequest, message: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    if "json" in message:
        return json.dumps(message["json"], ensure_ascii=False).encode(), "application/json"
    if "form" in message:
        form = urlencode(_texts(message["form"]))
        return form.encode(), "application/x-www-form-urlencoded"
    if "text" in message:
        return message["text"].encode(), channel.content_type or "text/plain; charset=utf-8"
    return None, None


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: text_of(value) for name, value in values.items()}


def _audience_problems(channel: HttpRequest) -> Iterator[tuple[Location, str]]:
    """Find a request that has an address of the contact, where nobody says who is written to."""
    if channel.audience is not None:
        return
    for location, template in channel.templates():
        of_many = "digest" in template.reads()
        addresses = _addresses_in(template, of_many)
        if addresses and location[0] != "look_up":
            where, reader = format_location(location), "team" if of_many else "contact"
            text = f"is missing: {where} has {addresses}; say 'audience: {reader}' if "
            text += (
                "the API writes to none of the contacts: a digest is for the team alone"
                if of_many
                else "the API writes to the contact, or 'audience: team'"
            )
            yield ("audience",), text
            return


def _addresses_in(template: Template, of_many: bool) -> str:
    """Return the addresses that a template reads of a contact, or of each in a digest; or ""."""
    fields = template.fields_read(digest=of_many)
    if fields is None:
        return "contacts as a whole" if of_many else "the contact as a whole"
    return ", ".join(sorted(f"contact.{name}" for name in fields if is_address(name)))


def is_address(field: str) -> bool:
    """Tell whether a field's name is that of an address: something that reaches a person."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field)
    words = {word.lower() for word in re.split(r"[^A-Za-z0-9]+", parts)}
    text = "".join(filter(str.isalnum, field.casefold()))
    return bool(words & _ADDRESS_WORDS) or any(part in text for part in _ADDRESS_PARTS)


def _body_problems(channel: HttpRequest) -> Iterator[tuple[Location, str]]:
    bodies = {"json": channel.json_body, "form": channel.form, "text": channel.text}
    names = [name for name, value in bodies.items() if value is not None]
    if len(names) > 1:
        yield (names[1],), f"found {' and '.join(names)}; allowed: one of json, form, text"
    if names and channel.method == "GET":
        yield (names[0],), "a GET has no body; write `query`"
    if channel.content_type and channel.text is None:
        yield ("content_type",), "belongs to `text`; json and form have their own"


def _header_problems(channel: HttpRequest) -> Iterator[tuple[Location, str]]:
    own = (channel.idempotency_header or "").lower()
    for name in channel.headers:
        if name.lower() == own:
            yield ("headers", name), f"{name!r} carries the key; see idempotency_header"


def _look_up_problems(channel: HttpRequest) -> Iterator[tuple[Location, str]]:
    look_up = channel.look_up
    if look_up is None:
        return
    if channel.method == "GET":
        yield ("look_up",), "a GET changes nothing, and is repeated where its answer was lost"
    request = [template for location, template in channel.templates() if location[0] != "look_up"]
    if channel.idempotency_header is None and not mention_key(request):
        yield ("look_up",), "finds nothing: no part of the request carries {{ key }}"
    for name in sorted(set(channel.results) - set(look_up.results)):
        yield ("look_up", "results"), f"lacks {name!r}, which `results` has"


def _status_problems(channel: HttpRequest) -> Iterator[tuple[Location, str]]:
    for index, status in enumerate(channel.of_the_contact):
        if status in channel.delivered_on:
            yield ("of_the_contact", index), f"{status} stands in delivered_on, too"
