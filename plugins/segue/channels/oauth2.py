"""Access tokens by OAuth 2: what a connection's extra says of them, and the place that has them.

The extra's key ``oauth2`` says how a token is asked for; the secret of a client, or a private key,
is the connection's password, which Airflow masks. A token is kept in the memory of its
process alone, for all connections that are opened with the same fields; its threads share it, and
it is asked for anew a little before its life is over. Who is answered 401 asks for another
(``renew``).

Followed:
    RFC 6749 (2.3 the client's secret, 4.4 client credentials, 5 answers, 6 refresh tokens),
    RFC 6750 (bearer tokens), RFC 7521 and RFC 7523 (JWT as authorization grants)
    https://docs.authlib.org/en/latest/client/oauth2.html (Authlib, which words the requests)
    https://developers.google.com/identity/protocols/oauth2/service-account (``scope`` is a claim;
    an hour at most), https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_jwt_flow.htm
    (three minutes at most; the answer does not say how long the token lives)
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
import uuid
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from segue.channels.airflow_connections import find_connection, use_connection
from segue.channels.answer_meanings import TOKENS, Call, Silence
from segue.channels.http.answers import codes_in, is_code, retry_after, usual_codes
from segue.channels.http.transport import (
    TooLarge,
    end_answers,
    follow_no_redirects,
    read_within,
    silence_of,
)
from segue.errors import ConnectionFailure, DeliveryError

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc.jwk import ECKey, RSAKey
    from requests import PreparedRequest, Response, Session

log = logging.getLogger(__name__)

OAUTH2 = "oauth2"  # the key in a connection's extra
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TIMEOUT = (5.0, 10.0)  # seconds to connect, and without a byte
LARGEST_ANSWER = 100_000  # bytes
LONGEST_ANSWER = sum(TIMEOUT)  # seconds
LEEWAY = 60.0  # seconds before its end at which a token is not used any more
ASSERTION_LIFE = 180  # seconds; Salesforce takes no longer one

_REMEMBERED = 16  # tokens; one lives for minutes at least, and a process for hours
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.+?)-----END \1-----", re.DOTALL)
_ROTATES = (
    "its refresh token rotates, and Segue cannot write the new one into the connection: where the "
    "old one is not valid any more, the next task is refused (invalid_grant). Use "
    "client_credentials or jwt_bearer, or have refresh tokens that do not rotate"
)
# what Authlib, or Python, makes of JSON that is no token: a life that is no number, or without end
_ODD_JSON = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
_OF_THE_SESSION = ("verify", "proxies", "cert", "trust_env")


class OAuth2(BaseModel):
    """What ``oauth2`` in a connection's extra says: how an access token is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grant: Literal["client_credentials", "refresh_token", "jwt_bearer"] = "client_credentials"
    endpoint: str  # where tokens are given
    client_id: str | None = None  # the connection's login, where it is left out
    client_in: Literal["body", "header"] = "body"  # where the client and its secret stand
    scope: str | None = None
    parameters: dict[str, str | int] = {}  # further ones of the request
    refresh_token: SecretStr | None = None
    claims: dict[str, Any] = {}  # of the assertion
    key_id: str | None = None  # of the private key
    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"] = "RS256"

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("must be a URL that begins with https://, without a user in it")
        return endpoint

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (self.refresh_token is not None) != (self.grant == "refresh_token"):
            raise ValueError("refresh_token belongs to the grant refresh_token, which needs it")
        of_assertions = self.model_fields_set & {"claims", "key_id", "algorithm"}
        if of_assertions and self.grant != "jwt_bearer":
            raise ValueError(f"{', '.join(sorted(of_assertions))}: of the grant jwt_bearer alone")
        return self


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; the instants are by ``time.monotonic``."""

    text: str = field(repr=False)
    given_at: float
    ends_at: float  # a little before the vendor's own end; infinite where that is not known


class AccessTokens:
    """The access tokens of one client, one at a time; safe to use from several threads."""

    def __init__(
        self,
        connection: str,
        settings: OAuth2,
        client: tuple[str, str],
        transport: Mapping[str, Any],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._client_id, self._secret = client
        self._transport = transport
        self._refresh_token = settings.refresh_token
        self._lock = Lock()
        self._token: Token | None = None
        self._given: deque[str] = deque(maxlen=_REMEMBERED)
        self._failure: DeliveryError | None = None
        self._failed_at = -math.inf
        self.caveat: str | None = None  # what is wrong although tokens are given

    def current(self) -> str:
        """Return a token that is valid for a while; raise what comes of an endpoint that refuses.

        Raises ConnectionFailure, or TransientFailure: nothing has been sent to the API.
        """
        began = time.monotonic()
        with self._lock:
            if self._token is None or self._token.ends_at <= began:
                self._token = self._fetch(began)
            return self._token.text

    def renew(self, refused: str, *, since: float) -> bool:
        """See to another token than the one that an API has refused; False where none would help.

        That is so where it was given after ``since``, when the refused call began.
        """
        began = time.monotonic()
        with self._lock:
            if self._token is None or self._token.text != refused:  # another thread was faster
                return True
            if self._token.given_at >= since:
                return False
            self._token = self._fetch(began)
            return True

    def given(self) -> Collection[str]:
        """Return the tokens that were given last, this one and those before: some are valid yet."""
        return tuple(self._given)

    def _fetch(self, began: float) -> Token:
        """Ask for a token, unless another thread was refused while this one waited for it."""
        if self._failure is not None and self._failed_at > began:
            raise self._failure
        try:
            return self._ask()
        except DeliveryError as failure:
            self._failure, self._failed_at = failure, time.monotonic()
            raise

    def _ask(self) -> Token:
        """Ask the endpoint once."""
        from authlib.common.errors import AuthlibBaseError
        from requests import JSONDecodeError, RequestException

        given_at = time.monotonic()
        try:
            with self._session() as session:
                answer = session.fetch_token(
                    self._settings.endpoint,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                    stream=True,  # read in _readable
                    **self._request(),
                )
            token = self._token_of(answer, given_at)
        except TooLarge:
            raise self._silence(Silence.TOO_LARGE, LARGEST_ANSWER) from None
        except AuthlibBaseError as error:  # a refusal in an answer of success
            raise self._refusal(200, str(error.error)) from None
        except RequestException as error:
            status = getattr(error.response, "status_code", None)
            if status or isinstance(error, JSONDecodeError):  # before requests 2.33, with no answer
                raise self._silence(Silence.NOT_JSON, status or 200) from None
            raise self._silence(silence_of(error), type(error).__name__) from None
        except _ODD_JSON:
            raise self._silence(Silence.OTHER_JSON, 200) from None
        self._heed_rotation(answer)
        return token

    def _session(self) -> OAuth2Session:
        from authlib.integrations.requests_client import OAuth2Session

        way = "client_secret_post" if self._settings.client_in == "body" else "client_secret_basic"
        session = OAuth2Session(
            self._client_id,
            self._secret,
            scope=self._settings.scope,
            token_endpoint_auth_method=way if self._secret else "none",
        )
        follow_no_redirects(session)
        end_answers(session, LONGEST_ANSWER)
        session.trust_env = self._transport.get("trust_env", True)
        session.register_compliance_hook("access_token_response", self._readable)
        return session

    def _request(self) -> dict[str, Any]:
        """Return what the request has beside the client and the scope, and how it is sent."""
        settings = self._settings
        transport = {name: value for name, value in self._transport.items() if name != "trust_env"}
        request = {"body": urlencode(settings.parameters), **transport}
        if settings.grant == "jwt_bearer":
            assertion = {"assertion": self._assertion(), "auth": _as_it_is}
            return {**request, "grant_type": JWT_BEARER, **assertion}
        if self._refresh_token is not None:
            request["refresh_token"] = self._refresh_token.get_secret_value()
        return {**request, "grant_type": settings.grant}

    def _assertion(self) -> str:
        """Return a signed JWT that stands for the client; raise where the password signs none."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        settings, now = self._settings, int(time.time())
        header = {"alg": settings.algorithm} | ({"kid": settings.key_id} if settings.key_id else {})
        claims = {
            "iss": self._client_id,
            "aud": settings.endpoint,
            "iat": now,
            "exp": now + ASSERTION_LIFE,
            "jti": uuid.uuid4().hex,  # nobody who has seen it can use it again
            **settings.claims,
        }
        try:
            key = _key_of(private_key(self._secret), settings.algorithm)
            assertion = jwt.encode(header, claims, key, algorithms=[settings.algorithm])
        except (ValueError, TypeError, JoseError):
            raise ConnectionFailure(
                f"the Airflow connection {self._connection!r}: its password is no private key in "
                f"PEM that signs {settings.algorithm}"
            ) from None
        return assertion

    def _readable(self, response: Response) -> Response:
        """Return an answer of success, read; raise what another one means."""
        read_within(response, LARGEST_ANSWER, time.monotonic() + LONGEST_ANSWER)
        if not 200 <= response.status_code < 300:
            code = next(iter(codes_in(response, usual_codes)), None)
            pause = retry_after(response.headers.get("Retry-After"))
            raise self._refusal(response.status_code, code, pause)
        return response

    def _refusal(self, status: int, code: str | None, pause: float | None = None) -> DeliveryError:
        """Return the error of a refusal; ``code`` is RFC 6749's, or what stands in its place."""
        refresh = self._refresh_token.get_secret_value() if self._refresh_token else ""
        if not is_code(code) or code in f"{self._secret} {refresh}":
            code = None
        answer = f"{self._vendor} answered {status}" + (f": {code}" if code else "")
        return TOKENS.outcome(Call.ACCESS, status, code).failure(answer=answer, pause=pause)

    def _silence(self, silence: Silence, detail: object) -> DeliveryError:
        outcome = TOKENS.outcome(Call.ACCESS, silence)
        return outcome.failure(vendor=self._vendor, detail=detail)

    @property
    def _vendor(self) -> str:
        return f"the token endpoint of the Airflow connection {self._connection!r}"

    def _token_of(self, answer: Any, given_at: float) -> Token:
        from airflow.sdk.log import mask_secret

        text = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise self._silence(Silence.OTHER_JSON, 200)
        mask_secret(text)
        self._given.append(text)
        life = float(answer.get("expires_in") or 0)  # a number, or what _ODD_JSON is about
        life = life if life > 0 else math.inf  # it is valid, and for how long is not said
        return Token(text, given_at, given_at + life - min(LEEWAY, life / 4))

    def _heed_rotation(self, answer: Any) -> None:
        """Use a new refresh token from now on, and say that the connection does not get it."""
        successor = answer.get("refresh_token") if isinstance(answer, Mapping) else None
        own = self._refresh_token
        if own is None or not isinstance(successor, str) or successor == own.get_secret_value():
            return
        from airflow.sdk.log import mask_secret

        mask_secret(successor)
        self._refresh_token = SecretStr(successor)
        self.caveat = _ROTATES
        log.warning("%s gave a new refresh token: %s", self._vendor, _ROTATES)


_ALL: dict[str, AccessTokens] = {}  # of this process, by a digest of all that they depend on
_ALL_LOCK = Lock()


def tokens_of(connection: str, session: Session | None = None) -> AccessTokens | None:
    """Return the access tokens of a connection; None where its extra has no ``oauth2``.

    They are asked for through the proxies, and with the certificates, of ``session``. Raises
    ConnectionFailure where ``oauth2``, login and password make no client.
    """
    fields = find_connection(connection)
    content = use_connection(connection, lambda: fields.extra_dejson.get(OAUTH2))
    if content is None:
        return None
    parts = (connection, fields.login or "", fields.password or "", fields.extra or "")
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    with _ALL_LOCK:
        if name not in _ALL:
            settings = read_settings(connection, OAUTH2, OAuth2, content)
            client = _client_of(connection, settings, fields)
            transport = {key: getattr(session, key) for key in _OF_THE_SESSION if session}
            _ALL[name] = AccessTokens(connection, settings, client, transport)
        return _ALL[name]


def _client_of(connection: str, settings: OAuth2, fields: Any) -> tuple[str, str]:
    """Return a client's id and its secret, or private key; "" for a client without one."""
    client_id, secret = settings.client_id or fields.login, fields.password or ""
    if not client_id:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: the client's id is missing; it is the login, "
            f"or client_id in {OAUTH2!r}"
        )
    if not secret and settings.grant != "refresh_token":
        what = "private key" if settings.grant == "jwt_bearer" else "secret"
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: the client's {what} is missing; it is the "
            "password"
        )
    return client_id, secret


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(connection: str, key: str, kind: type[Settings], content: Any) -> Settings:
    """Read what stands under a key of a connection's extra; raise ConnectionFailure.

    It names every key at fault, and no value: they are secrets.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{'.'.join([key, *map(str, problem['loc'])])}: {_words(problem)}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        text = "; ".join(problems).replace("Value error, ", "")
        raise ConnectionFailure(f"the Airflow connection {connection!r}: {text}") from None


def _key_of(pem: str, algorithm: str) -> RSAKey | ECKey:
    from joserfc.jwk import ECKey, RSAKey

    return (ECKey if algorithm.startswith("ES") else RSAKey).import_key(pem)


def _words(problem: Mapping[str, Any]) -> str:
    is_object = problem["type"] in ("model_type", "dict_type")
    return "must be an object with keys and values" if is_object else problem["msg"]


def private_key(text: str) -> str:
    r"""Return a PEM as it must be; forms of one line, and what escapes ``\n``, lose its lines."""
    match = _PEM.search(text.replace("\\n", "\n"))
    if match is None:
        return text
    content = re.sub(r"\s+", "", match[2])
    lines = [content[start : start + 64] for start in range(0, len(content), 64)]
    return "\n".join([f"-----BEGIN {match[1]}-----", *lines, f"-----END {match[1]}-----", ""])


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request
