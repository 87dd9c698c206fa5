"""What the channels over HTTP share: one session per task, and answers turned into errors.

The session comes from the HTTP provider's hook, so credentials, headers, proxies and certificates
are those of the Airflow connection (``timeout`` in its extra, in seconds, is honoured). Nothing is
retried here, and no redirect is followed: a POST that is repeated behind our back is a message
sent twice, and one that is redirected becomes a GET. What an answer, or none, means is in
``segue.channels.answer_meanings``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from segue.channels.airflow_connections import base_url_of, find_connection, use_connection
from segue.channels.answer_meanings import HTTP, REFUSED, Call, Silence
from segue.channels.http.answers import (
    ANOTHER_SHAPE,
    CallRefused,
    CallUnproven,
    CannotTell,
    Codes,
    codes_in,
    retry_after,
    usual_codes,
)
from segue.channels.http.credentials import SECRETS, Credentials, credentials_of
from segue.channels.http.pages import leads_on
from segue.channels.http.transport import (
    TooLarge,
    end_answers,
    follow_no_redirects,
    read_within,
    silence_of,
)
from segue.channels.oauth2 import OAUTH2
from segue.channels.rates import SEGUE_RATE
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    TransientFailure,
    UnprovenRefusal,
)

if TYPE_CHECKING:
    from requests import Response, Session

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte, where the connection's extra gives no `timeout`
LONGEST_READ = 45.0  # seconds; below every channel's `longest_call`
LONGEST_ANSWER = 60.0  # seconds, after which an answer is not read on
LARGEST_ANSWER = 16_000_000  # bytes; a page of a hundred tickets is far below
LARGEST_DOCUMENT = 1_000_000  # bytes

Answer = TypeVar("Answer")
LogIn = Callable[[str, "Session"], None]  # of a connection's id


def is_2xx(response: Response) -> bool:
    """Tell whether a status is one of success."""
    return 200 <= response.status_code < 300


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
        codes: Codes = usual_codes,
        can_be_asked: bool = False,
        credentials: Credentials | None = None,
    ) -> None:
        self.vendor = vendor  # as people call it, for messages
        self.base_url = base_url  # without a slash at its end
        self._session = session
        self._credentials = credentials or Credentials()
        follow_no_redirects(session)
        end_answers(session, LONGEST_ANSWER)
        session.auth = self._credentials  # or requests would look for a ~/.netrc
        self._timeout = (CONNECT_TIMEOUT, read_timeout)
        self._largest_answer = largest_answer  # bytes
        self._codes = codes
        self._effect = Call.ASKABLE if can_be_asked else Call.EFFECT  # doubt is cheap, or not

    def create(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        read: Callable[[Any], Answer],
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        of_the_contact: Collection[int] = (),
    ) -> Answer:
        """Send ``body`` as JSON once, and return what ``read`` finds in the answer's JSON.

        ``read`` may raise what comes of an unexpected shape. ``of_the_contact`` are statuses that
        surely refuse this call alone, where others would have to prove it.
        """
        response = self._request(self._effect, method, path, json=body, headers=headers)
        if response.status_code not in (200, 201):
            raise self._failure(self._effect, response, of_the_contact=of_the_contact)
        return self._read(self._effect, response, read)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        body: bytes | None = None,
        codes: Codes | None = None,
        of_the_contact: Collection[int] = (),
        is_success: Callable[[Response], bool] = is_2xx,
    ) -> Response:
        """Make one call that may change something, and return an answer of success.

        ``codes`` take the place of the connection's for this call. ``of_the_contact`` are statuses
        that surely refuse this call alone, where others would have to prove it.
        """
        response = self._request(
            self._effect, method, path, params=query, headers=headers, data=body
        )
        if not is_success(response):
            raise self._failure(self._effect, response, codes, of_the_contact)
        return response

    def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        read: Callable[[Any, bool], Answer],
        cannot_tell: Collection[int] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """GET once, or POST a question that is a ``body``, and return what ``read`` finds.

        ``read`` is given the JSON, and whether headers say of more than it lists; it may raise what
        comes of an unexpected shape. ``cannot_tell`` are statuses that say nothing, where
        they would otherwise leave it open whose the answer is; they raise CannotTell.
        """
        method = "GET" if body is None else "POST"
        response = self._request(Call.QUESTION, method, path, params=query, json=body)
        if response.status_code in cannot_tell:
            raise CannotTell(
                f"{self.vendor} answered {response.status_code} when asked, which may mean that "
                "it has no such thing or that the path is wrong"
            )
        if response.status_code != 200:
            raise self._failure(Call.QUESTION, response)
        return self._read(
            Call.QUESTION, response, lambda answer: read(answer, leads_on(response, answer))
        )

    def fetch(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        is_absent: Callable[[Response], bool],
        codes: Codes | None = None,
    ) -> Any:
        """GET once what is there, and return its JSON; None where the answer says that it is not.

        ``codes`` take the place of the connection's for this call. Raises CallRefused, or another
        ContactFailure, for an answer that no repetition betters, UnprovenRefusal where it may be
        anybody's, TransientFailure and ConnectionFailure.
        """
        response = self._request(Call.DETAILS, "GET", path, params=query)
        if is_absent(response):
            return None
        if response.status_code != 200:
            raise self._failure(Call.DETAILS, response, codes)
        return self._read(Call.DETAILS, response, lambda answer: answer)

    def authorize(self) -> bool:
        """Ask for an access token where calls carry one, and tell whether they do."""
        self._credentials.authorize(time.monotonic())
        return self._credentials.has_tokens

    @property
    def caveat(self) -> str | None:
        """What is wrong with the access tokens, although there are some."""
        return self._credentials.caveat

    def close(self) -> None:
        """Close what is open."""
        self._session.close()

    def _request(self, call: Call, method: str, path: str, **arguments: Any) -> Response:
        """Return an answer, whatever it is; who was answered 401 has done nothing, and tries again.

        That is so where an access token may have come to its end since it was given.
        """
        began = time.monotonic()
        response = self._exchange(call, began, method, path, **arguments)
        if response.status_code == 401 and self._credentials.renew(response.request, began):
            response = self._exchange(call, began, method, path, **arguments)
        return response

    def _exchange(
        self, call: Call, began: float, method: str, path: str, **arguments: Any
    ) -> Response:
        """Return an answer whose body has been read within this class's bounds."""
        from requests import RequestException

        self._credentials.authorize(began)
        try:
            with self._session.request(
                method,
                f"{self.base_url}{self._credentials.path(path)}",
                timeout=self._timeout,
                verify=self._session.verify,  # or the environment would go before the connection
                proxies=dict(self._session.proxies),  # likewise
                allow_redirects=False,
                stream=True,  # read below, whatever the connection's extra says
                **arguments,
            ) as response:
                read_within(response, self._largest_answer, began + LONGEST_ANSWER)
                self._credentials.cross_out(response)
                return response
        except TooLarge:
            raise self._silence(call, Silence.TOO_LARGE, self._largest_answer) from None
        except RequestException as error:
            raise self._silence(call, silence_of(error), type(error).__name__) from None

    def _read(self, call: Call, response: Response, read: Callable[[Any], Answer]) -> Answer:
        """Return what ``read`` finds in the JSON of a success."""
        from requests import JSONDecodeError

        try:
            return read(response.json())
        except (JSONDecodeError, RecursionError):
            raise self._silence(call, Silence.NOT_JSON, response.status_code) from None
        except ANOTHER_SHAPE:
            raise self._silence(call, Silence.OTHER_JSON, response.status_code) from None

    def _silence(self, call: Call, silence: Silence, detail: object) -> DeliveryError:
        return HTTP.outcome(call, silence).failure(vendor=self.vendor, detail=detail)

    def _failure(
        self,
        call: Call,
        response: Response,
        codes: Codes | None = None,
        of_the_contact: Collection[int] = (),
    ) -> DeliveryError:
        """Return the error that an answer other than success stands for."""
        status, words = response.status_code, codes_in(response, codes or self._codes)
        answer = f"{self.vendor} answered {status}" + (f": {', '.join(words)}" if words else "")
        pause = retry_after(response.headers.get("Retry-After"))
        outcome = HTTP.outcome(call, status, pauses=pause is not None)
        if status in of_the_contact and outcome.error is not TransientFailure:
            outcome = REFUSED
        failure = outcome.failure(answer=answer, pause=pause)
        if isinstance(failure, UnprovenRefusal):
            return CallUnproven(failure, words, status)
        is_refusal = isinstance(failure, ContactFailure)
        return CallRefused(str(failure), words, status) if is_refusal else failure


def open_calls(
    vendor: str,
    connection: str,
    *,
    codes: Codes = usual_codes,
    largest_answer: int = LARGEST_ANSWER,
    headers: Mapping[str, str] | None = None,
    can_be_asked: bool = False,
    own: Collection[str] = (),
    log_in: LogIn | None = None,
) -> HttpCalls:
    """Open a session over an Airflow connection; every call carries ``headers``.

    ``codes`` yields what may be shown of a refusal's JSON, codes and field names; it may raise what
    comes of an unexpected shape. ``can_be_asked`` is the channel's own: whether a call in doubt can
    be looked up. ``own`` are keys of its extra that are the channel's; any other is a header of
    every call. ``log_in`` puts into the session what the vendor's own type of connection says
    beyond login and password.
    """
    base_url = base_url_of(connection)
    session, timeout = _open(connection, own, headers)
    if log_in is not None:
        log_in(connection, session)
    return HttpCalls(
        vendor,
        session,
        base_url,
        timeout,
        largest_answer,
        codes=codes,
        can_be_asked=can_be_asked,
        credentials=credentials_of(connection, session),
    )


def open_api(connection: str, place: str, *, can_be_asked: bool = False) -> HttpCalls:
    """Open a session with an API that may be any; ``place`` is where its paths and queries stand.

    It is called by the connection's id, and its answers are documents about one thing.
    """
    calls = open_calls(
        connection, connection, largest_answer=LARGEST_DOCUMENT, can_be_asked=can_be_asked
    )
    if set(calls.base_url) & set("?#"):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: its host has a ? or #; write queries into the "
            f"{place}"
        )
    return calls


def open_webhook(
    vendor: str, connection: str, *, codes: Codes = usual_codes
) -> tuple[HttpCalls, str]:
    """Open a session to the URL that is the password of an Airflow connection of type HTTP.

    Returns it with the URL's path and query, which are as secret as a password: Airflow is told to
    mask them in logs, and no error shows them. ``codes`` as in ``open_calls``.
    """
    from airflow.sdk.log import mask_secret

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
    extra = find_connection(connection).extra_dejson
    for key in sorted({OAUTH2, SECRETS} & extra.keys()):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} has {key!r} in its extra, which is not for a "
            "webhook: its URL is all that it needs"
        )
    secret = f"{url.path}?{url.query}" if url.query else url.path
    mask_secret(secret)
    for signature in parse_qs(url.query).get("sig", []):
        mask_secret(signature)
    session, timeout = _open(connection, ())
    # without credentials: the password is no password
    calls = HttpCalls(vendor, session, f"{url.scheme}://{url.netloc}", timeout, codes=codes)
    return calls, secret


def _open(
    connection: str, own: Collection[str], headers: Mapping[str, str] | None = None
) -> tuple[Session, float]:
    """Return the session of the provider's hook, and how long it waits for a byte (seconds)."""
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(http_conn_id=connection)
    every = {"Accept": "application/json", **(headers or {})}
    session = use_connection(connection, lambda: hook.get_conn(every))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # calls share nothing
    if not isinstance(session.proxies, Mapping):  # a text, which requests takes for none
        session.proxies = {}
    if str(session.verify).lower() in ("true", "false"):  # a text would be a file's name
        session.verify = str(session.verify).lower() == "true"
    # the hook takes what it does not know for a header
    for name in (SEGUE_RATE, OAUTH2, SECRETS, *own):
        session.headers.pop(name, None)
    timeout = use_connection(
        connection, lambda: float(hook.merged_extra.get("timeout") or READ_TIMEOUT)
    )
    return session, min(timeout, LONGEST_READ)
