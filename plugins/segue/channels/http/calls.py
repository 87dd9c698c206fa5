"""What the channels over HTTP share: one session per task, and answers turned into errors.

The session comes from the HTTP provider's hook, so credentials, headers, proxies and certificates
are those of the Airflow connection (``timeout`` in its extra, in seconds, is honoured). Nothing is
retried here, and no redirect is followed: a POST that is repeated behind our back is a message
sent twice, and one that is redirected becomes a GET.

What an answer to a creation means for a delivery (docs/design.md, "One door, once"):

    2xx with the body that was promised   delivered
    2xx with anything else                OutcomeUnknown: it worked, nobody knows as what
    3xx, 401, 402, 403, 404, 405, 410     ConnectionFailure: credentials, plan or address are wrong
    408, 425, 429, 5xx                    TransientFailure, after Retry-After where it is given
    504                                   OutcomeUnknown: a gateway lost the answer, not the request
    500, 502 of a channel that can ask    OutcomeUnknown: it may have failed after the effect
    other 4xx                             ContactFailure: this ticket is refused

500 and 502 do not say whether anything was done: a server may stumble once the ticket is there,
and a proxy loses answers as a gateway does. Where the vendor can be asked, doubt costs one question
(and a few minutes, where the answer is no). Where it cannot, it would cost a person's time for each
hiccup of the vendor, so there they are taken for "nothing was sent", as 503 is everywhere.

What an exception means:

    unknown host, TLS, bad URL            ConnectionFailure
    refused, or no connection in time     TransientFailure: nothing was sent
    anything later                        OutcomeUnknown: the request had gone out

An answer that is too large or takes too long to arrive is a lost one. 404 and 410 are of the
connection where the path is fixed, because no contact can cause them; a channel whose path names
a contact says that they are of the contact.

A look-up changes nothing, so it may be repeated, and must never say "not there" by mistake:

    2xx with the body that was promised   what the vendor has
    2xx with other JSON                   OutcomeUnknown: it cannot tell
    2xx with what is not JSON             TransientFailure: cut short, or not from the vendor
    3xx, 401, 402, 404, 405, 410          ConnectionFailure, as above
    403, other 4xx                        OutcomeUnknown: the user may create, but not list
    408, 425, 429, 5xx                    TransientFailure, after Retry-After where it is given
    a lost answer                         TransientFailure
    an answer that is too large           OutcomeUnknown
    unknown host, TLS, bad URL            ConnectionFailure

Followed: https://requests.readthedocs.io/en/latest/api/#exceptions,
https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html, RFC 9110 (status codes
in section 15, Retry-After in 10.2.3).
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar
from urllib.parse import parse_qs, urlsplit

from segue.channels.airflow_connections import find_connection, opened
from segue.channels.rates import SEGUE_RATE
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)

if TYPE_CHECKING:
    from airflow.providers.http.hooks.http import HttpHook
    from requests import PreparedRequest, RequestException, Response, Session

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte, where the connection's extra gives no `timeout`
LONGEST_READ = 45.0  # seconds; below every channel's `longest_call`
LONGEST_PAUSE = 86_400.0  # seconds; no vendor means more
LONGEST_ANSWER = 60.0  # seconds from the call's beginning, after which its body is not read on
LARGEST_ANSWER = 16_000_000  # bytes; a page of a hundred tickets is far below

_CHUNK = 65_536  # bytes

_OF_THE_CONNECTION = {
    401: "check the connection's login and password",
    402: "check the account's plan",
    403: "check what the connection's user may do",
    404: "check the connection's host",
    405: "check the connection's host",
    410: "check the connection's host",
}
_TRY_AGAIN = frozenset({408, 425, 429})
_GATEWAY_TIMEOUT = 504
_PERHAPS_DONE = frozenset({500, 502})
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

Answer = TypeVar("Answer")
Codes = Callable[[Any], Iterator[object]]  # what of a refusal's JSON may be shown, if it is a code


class CallRefused(ContactFailure):
    """The vendor refuses this call for good; ``codes`` are its error codes and field names."""

    def __init__(self, message: str, codes: tuple[str, ...], status: int) -> None:
        self.codes = codes
        self.status = status
        super().__init__(message)


class CannotTell(OutcomeUnknown):
    """A question was answered with a status of ``cannot_tell``: there may be no such thing."""


class HttpCalls:
    """Calls of one vendor over one connection; safe to use from several threads."""

    def __init__(
        self,
        vendor: str,
        session: Session,
        base_url: str,
        read_timeout: float = READ_TIMEOUT,
        largest_answer: int = LARGEST_ANSWER,
        *,
        can_be_asked: bool = False,
    ) -> None:
        self.vendor = vendor  # as people call it, for messages
        self.can_be_asked = can_be_asked  # whether doubt is cheap: a look-up ends it
        self.base_url = base_url  # without a slash at its end
        self._session = session
        self._timeout = (CONNECT_TIMEOUT, read_timeout)
        self._largest_answer = largest_answer  # bytes

    def create(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str],
        codes: Codes,
        read: Callable[[Any], Answer],
        method: str = "POST",
        of_the_contact: Collection[int] = (),
    ) -> Answer:
        """Send ``body`` as JSON once, and return what ``read`` finds in the answer's JSON.

        ``codes`` yields what may be shown of a refusal: codes and field names. Both may raise
        what comes of an unexpected shape. ``of_the_contact`` are statuses that refuse this call
        alone, where they would otherwise mean that the connection is wrong.
        """
        from requests import RequestException

        try:
            response = self._request(method, path, json=body, headers=dict(headers))
        except RequestException as error:
            raise failed_call(self.vendor, error) from None
        if response.status_code not in (200, 201):
            raise self._failed(response, codes, of_the_contact)
        try:
            return read(response.json())
        except (ValueError, TypeError, LookupError, AttributeError):
            raise OutcomeUnknown(
                f"{self.vendor} answered {response.status_code} with a body that does not say what "
                "was made"
            ) from None

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str | bytes],
        body: bytes | None,
        codes: Codes,
        of_the_contact: Collection[int] = (),
    ) -> Response:
        """Make one call that may change something, and return an answer of success (any 2xx).

        ``of_the_contact`` are statuses that refuse this call alone, where they would otherwise
        mean that the connection is wrong.
        """
        from requests import RequestException

        arguments = {"params": dict(query), "headers": dict(headers), "data": body}
        try:
            response = self._request(method, path, **arguments)
        except RequestException as error:
            raise failed_call(self.vendor, error) from None
        if 200 <= response.status_code < 300:
            return response
        raise self._failed(response, codes, of_the_contact)

    def ask(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        codes: Codes,
        read: Callable[[Any, bool], Answer],
        cannot_tell: Collection[int] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """GET once, or POST a question that is a ``body``, and return what ``read`` finds.

        ``read`` is given the JSON, and whether a Link header leads to a further page; it may raise
        what comes of an unexpected shape. ``cannot_tell`` are statuses that say nothing, where
        they would otherwise mean that the connection is wrong; they raise CannotTell.
        """
        from requests import JSONDecodeError, RequestException

        try:
            method = "GET" if body is None else "POST"
            response = self._request(method, path, params=dict(query), json=body)
        except RequestException as error:
            raise failed_question(self.vendor, failed_call(self.vendor, error)) from None
        if response.status_code in cannot_tell:
            raise CannotTell(
                f"{self.vendor} answered {response.status_code} when asked, which may mean that "
                "it has no such thing or that the path is wrong"
            )
        if response.status_code != 200:
            raise no_answer(self.vendor, response, codes)
        try:
            return read(response.json(), "next" in response.links)
        except JSONDecodeError:
            raise TransientFailure(f"{self.vendor} answered 200 with what is not JSON") from None
        except (ValueError, TypeError, LookupError, AttributeError):
            raise OutcomeUnknown(
                f"{self.vendor} answered 200 with a body that does not tell"
            ) from None

    def fetch(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        codes: Codes,
        is_absent: Callable[[Response], bool],
    ) -> Any:
        """GET once what is there, and return its JSON; None where the answer says that it is not.

        Raises CallRefused, or another ContactFailure, for an answer that no repetition betters,
        TransientFailure and ConnectionFailure.
        """
        from requests import RequestException

        try:
            response = self._request("GET", path, params=dict(query))
        except RequestException as error:
            raise failed_question(self.vendor, failed_call(self.vendor, error)) from None
        except OutcomeUnknown as error:  # the answer is too large
            raise ContactFailure(str(error)) from None
        if is_absent(response):
            return None
        if response.status_code != 200:
            raise no_details(self.vendor, response, codes)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise TransientFailure(f"{self.vendor} answered 200 with what is not JSON") from None

    def close(self) -> None:
        """Close what is open."""
        self._session.close()

    def _failed(
        self, response: Response, codes: Codes, of_the_contact: Collection[int]
    ) -> DeliveryError:
        """Return the error that an answer other than success stands for, in this connection."""
        if response.status_code in of_the_contact:
            return _refused(self.vendor, response, codes)
        if self.can_be_asked and response.status_code in _PERHAPS_DONE:
            words = _said(self.vendor, response, codes)
            return OutcomeUnknown(f"{words}, perhaps after the effect")
        return failed_answer(self.vendor, response, codes)

    def _request(self, method: str, path: str, **arguments: Any) -> Response:
        """Return an answer whose body has been read, within this class's bounds."""
        ends = time.monotonic() + LONGEST_ANSWER
        response = self._session.request(
            method,
            f"{self.base_url}{path}",
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,  # read below, whatever the connection's extra says
            **arguments,
        )
        with response:
            response.raw = _Bounded(response.raw, self._largest_answer, ends)
            response.content  # noqa: B018 - reads it
        return response


class _Bounded:
    """An answer's body that ends in an error when it is too large or too late."""

    def __init__(self, raw: Any, largest: int, ends: float) -> None:
        self._raw, self._largest, self._ends = raw, largest, ends

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int | None, *, decode_content: bool) -> Iterator[bytes]:
        """Yield what has arrived, as requests asks for it."""
        from requests.exceptions import ReadTimeout

        size = 0
        while chunk := self._raw.read1(_CHUNK, decode_content=decode_content):
            size += len(chunk)
            if size > self._largest:
                raise OutcomeUnknown(f"the answer is larger than {self._largest} bytes")
            if time.monotonic() > self._ends:
                raise ReadTimeout("the answer's body takes too long")
            yield chunk


def open_calls(
    vendor: str,
    connection: str,
    *,
    largest_answer: int = LARGEST_ANSWER,
    headers: Mapping[str, str] | None = None,
    can_be_asked: bool = False,
    own: Collection[str] = (),
) -> HttpCalls:
    """Open a session over an Airflow connection of type HTTP; every call carries ``headers``.

    ``can_be_asked`` is the channel's own: whether a call in doubt can be looked up.

    ``own`` are keys of its extra that are the channel's; any other is a header of every call.
    """
    host = find_connection(connection)
    if not host.host or ("://" not in host.host and not host.schema):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs a host that begins with https://"
        )
    hook, session, timeout = _open(connection, own, headers)
    session.auth = session.auth or _unchanged  # or requests would look for a ~/.netrc
    base_url = hook.base_url.rstrip("/")
    return HttpCalls(vendor, session, base_url, timeout, largest_answer, can_be_asked=can_be_asked)


def open_webhook(vendor: str, connection: str) -> tuple[HttpCalls, str]:
    """Open a session to the URL that is the password of an Airflow connection of type HTTP.

    Returns it with the URL's path and query, which are as secret as a password: Airflow is told to
    mask them in logs, and no error shows them.
    """
    from airflow.providers.common.compat.sdk import mask_secret

    address = find_connection(connection).password or ""
    try:
        url = urlsplit(address.strip())
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs the webhook's whole URL, as {vendor} "
            "shows it, for its password"
        )
    secret = f"{url.path}?{url.query}" if url.query else url.path
    mask_secret(secret)
    for signature in parse_qs(url.query).get("sig", []):
        mask_secret(signature)
    _, session, timeout = _open(connection, ())
    session.auth = _unchanged  # the password is no password
    calls = HttpCalls(vendor, session, f"{url.scheme}://{url.netloc}", timeout)
    return calls, secret


def _open(
    connection: str, own: Collection[str], headers: Mapping[str, str] | None = None
) -> tuple[HttpHook, Session, float]:
    """Return the provider's hook, its session, and how long that waits for a byte (seconds)."""
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(http_conn_id=connection)
    every = {"Accept": "application/json", **(headers or {})}
    session = opened(connection, lambda: hook.get_conn(every))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # calls share nothing
    for name in (SEGUE_RATE, *own):  # the hook takes what it does not know for a header
        session.headers.pop(name, None)
    timeout = opened(connection, lambda: float(hook.merged_extra.get("timeout") or READ_TIMEOUT))
    return hook, session, min(timeout, LONGEST_READ)


def failed_answer(vendor: str, response: Response, codes: Codes) -> DeliveryError:
    """Return the error that an answer other than success to a creation stands for."""
    status, words = response.status_code, _said(vendor, response, codes)
    if status < 300:
        return OutcomeUnknown(f"{words}, which is not the answer to a creation")
    if status < 400:
        return ConnectionFailure(f"{words}, a redirect; write its target into the connection")
    if status in _OF_THE_CONNECTION:
        return ConnectionFailure(f"{words}; {_OF_THE_CONNECTION[status]}")
    if status == _GATEWAY_TIMEOUT:
        return OutcomeUnknown(f"{words}: a gateway passed the request on and got no answer")
    if status in _TRY_AGAIN or status >= 500:
        return TransientFailure(words, retry_after=retry_after(response.headers.get("Retry-After")))
    return _refused(vendor, response, codes)


def no_answer(vendor: str, response: Response, codes: Codes) -> DeliveryError:
    """Return the error that an answer other than success to a look-up stands for."""
    failure = failed_answer(vendor, response, codes)
    status, words = response.status_code, _said(vendor, response, codes)
    if status >= 500:
        return TransientFailure(words, retry_after=retry_after(response.headers.get("Retry-After")))
    if status == 403 or status < 300 or isinstance(failure, ContactFailure):
        return OutcomeUnknown(f"{words} when asked what it has; check what its user may list")
    return failure


def no_details(vendor: str, response: Response, codes: Codes) -> DeliveryError:
    """Return the error that an answer other than 200 to a request for details stands for."""
    failure = failed_answer(vendor, response, codes)
    if response.status_code >= 500:
        return TransientFailure(
            _said(vendor, response, codes),
            retry_after=retry_after(response.headers.get("Retry-After")),
        )
    if isinstance(failure, OutcomeUnknown):
        return ContactFailure(f"{_said(vendor, response, codes)}, without details")
    return failure


def failed_question(vendor: str, failure: DeliveryError) -> DeliveryError:
    """Return the error of a look-up for that of a creation: asking may be repeated."""
    if isinstance(failure, OutcomeUnknown):
        return TransientFailure(f"{vendor} was asked what it has, and its answer was lost")
    return failure


def failed_call(vendor: str, error: RequestException) -> DeliveryError:
    """Return the error that an exception of requests stands for."""
    from requests import exceptions as failures
    from urllib3.exceptions import NameResolutionError, NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        return ConnectionFailure(f"the host of {vendor} is unknown; check the connection's host")
    if isinstance(reason, NewConnectionError) or isinstance(error, failures.ConnectTimeout):
        return TransientFailure(f"{vendor} cannot be reached; nothing was sent")
    if _in_handshake(error):
        if isinstance(error, failures.SSLError):
            return ConnectionFailure(f"no secure connection to {vendor}; check its certificate")
        return TransientFailure(f"{vendor} did not agree on TLS in time; nothing was sent")
    if isinstance(error, failures.ProxyError):
        return ConnectionFailure(f"the proxy towards {vendor} cannot be used")
    if isinstance(error, ValueError):  # requests' words for a URL or header that cannot be
        return ConnectionFailure(f"the connection's host or extra is wrong: {type(error).__name__}")
    return OutcomeUnknown(f"the answer of {vendor} was lost: {type(error).__name__}")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number or a date; a day at most."""
    if not value:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return min(float(value), LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(0.0, seconds), LONGEST_PAUSE)


def is_code(value: object) -> TypeGuard[str]:
    """Tell whether a value is a code or a field's name, and not a text about somebody."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _refused(vendor: str, response: Response, codes: Codes) -> CallRefused:
    text, words = _said(vendor, response, codes), _words(response, codes)
    return CallRefused(text, words, response.status_code)


def usual_codes(answer: Any) -> Iterator[object]:
    """Yield what APIs commonly call an error's code."""
    error = answer.get("error")
    yield answer.get("code")
    yield answer.get("type")
    yield error
    if isinstance(error, Mapping):
        yield error.get("code")
        yield error.get("type")


def unless_sent(codes: Codes, sent: str) -> Codes:
    """Return ``codes`` without those that repeat what was sent: they may be a contact's text."""

    def others(answer: Any) -> Iterator[object]:
        for code in codes(answer):
            if isinstance(code, str) and code.casefold() not in sent.casefold():
                yield code

    return others


def _said(vendor: str, response: Response, codes: Codes) -> str:
    words = _words(response, codes)
    return f"{vendor} answered {response.status_code}" + (f": {', '.join(words)}" if words else "")


def _words(response: Response, codes: Codes) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(filter(is_code, codes(response.json()))))
    except (ValueError, TypeError, LookupError, AttributeError):
        return ()


def _in_handshake(error: BaseException | None) -> bool:
    """Tell whether TLS was still being agreed on, when nothing has been sent.

    The exceptions do not tell: a timeout or a connection that ends looks the same before and after
    the request. The place where they were raised does.
    """
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == "do_handshake":
                return True
        error = error.__context__
    return False


def _unchanged(request: PreparedRequest) -> PreparedRequest:
    return request
