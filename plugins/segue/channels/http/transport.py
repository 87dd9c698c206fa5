"""What is below HTTP: reading a body within bounds, and what an exception of requests says."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from segue.channels.answer_meanings import Silence
from segue.channels.answers_in_time import AnswerInTime
from segue.errors import DeliveryError

if TYPE_CHECKING:
    from requests import RequestException, Response, Session

_CHUNK = 65_536  # bytes


class _NoAddress(logging.Filter):
    """Keeps addresses out of what urllib3 says of headers that it cannot read.

    They hold contacts' text, and secrets.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave the record without what it is about."""
        if str(record.msg).startswith("Failed to parse headers"):
            record.args, record.exc_info = ("not shown", "HeaderParsingError"), None
        return True


_NO_ADDRESS = _NoAddress()


class TooLarge(Exception):
    """A body is larger than is read."""


def follow_no_redirects(session: Session) -> None:
    """See to it that a session only reports redirects.

    Told not to follow one, requests still reads its body for the next request, without any bound.
    """
    session.get_redirect_target = lambda _: None  # type: ignore[assignment,method-assign]


def end_answers(session: Session, seconds: float) -> None:
    """Give every answer that a session waits for an end, its head included.

    Of a session's adapters the pools of connections are told, those behind a proxy as well. What
    they log names no address from now on.
    """
    logging.getLogger("urllib3.connection").addFilter(_NO_ADDRESS)  # once, however often
    adapters: Any = set(session.adapters.values())
    for adapter in adapters:
        _end_answers_of(adapter.poolmanager, seconds)
        adapter.proxy_manager_for = partial(_with_an_end, adapter.proxy_manager_for, seconds)


def _with_an_end(make: Callable[..., Any], seconds: float, *args: Any, **named: Any) -> Any:
    manager = make(*args, **named)
    _end_answers_of(manager, seconds)
    return manager


def _end_answers_of(manager: Any, seconds: float) -> None:
    answer = staticmethod(partial(AnswerInTime, seconds=seconds))

    def bounded(pool: Any) -> Any:
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": answer})
        return type("Pool", (pool,), {"ConnectionCls": connection})

    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: bounded(pool) for scheme, pool in pools.items()}


def read_within(response: Response, largest: int, ends: float) -> None:
    """Read a body that was not read yet, up to a size (bytes, unpacked) and an instant.

    Raises TooLarge, and what requests raises; ``ends`` is by ``time.monotonic``.
    """
    raw = response.raw
    raw.stream = partial(_bounded_body, raw, largest, ends)
    response.content  # noqa: B018 - reads it


def silence_of(error: RequestException) -> Silence:
    """Return what an exception of requests says of an answer that is not there."""
    from requests import exceptions as failures
    from urllib3.exceptions import InvalidHeader, NameResolutionError, NewConnectionError

    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None)
    if isinstance(reason, NameResolutionError):
        return Silence.UNKNOWN_HOST
    if isinstance(reason, NewConnectionError) or isinstance(error, failures.ConnectTimeout):
        return Silence.UNREACHABLE
    if _in_handshake(error):
        is_of_tls = isinstance(error, failures.SSLError)
        return Silence.CERTIFICATE if is_of_tls else Silence.HANDSHAKE
    if isinstance(error, failures.ProxyError):
        return Silence.PROXY
    # a URL or header that cannot be is a ValueError, unless the header is the answer's; from
    # anything else on the request had gone out
    is_ours = isinstance(error, ValueError) and not isinstance(cause, InvalidHeader)
    return Silence.ADDRESS if is_ours else Silence.LOST


def _in_handshake(error: BaseException | None) -> bool:
    """Tell whether TLS was still being agreed on, when nothing has been sent.

    The exceptions do not tell: a timeout or a connection that ends looks the same before and after
    the request. The place where they were raised does. Behind a DeliveryError is an earlier call's.
    """
    while error is not None and not isinstance(error, DeliveryError):
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == "do_handshake":
                return True
        error = error.__context__
    return False


def _bounded_body(
    raw: Any, largest: int, ends: float, _: int | None, *, decode_content: bool
) -> Iterator[bytes]:
    """Yield what has arrived of a body, up to a size (bytes, unpacked) and an instant.

    It stands in for urllib3's ``stream``, which waits until a chunk is full and knows neither.
    """
    from requests.exceptions import ReadTimeout

    size = 0
    while chunk := raw.read1(_CHUNK, decode_content=decode_content):
        size += len(chunk)
        if size > largest:
            raise TooLarge
        if time.monotonic() > ends:
            raise ReadTimeout("the answer's body takes too long")
        yield chunk
