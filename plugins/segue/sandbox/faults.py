"""Answers that go wrong on purpose, so that tests and docs can show what Segue does then.

A fault is asked for over HTTP and applies to the next ``times`` requests that match it. The ones
"after effect" are what duplicates are made of: the vendor has done the work and the client never
learns it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping
from enum import StrEnum
from typing import Literal, Self
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from segue.sandbox.wire import TOKENS_PATHS

TRANSPORT = "segue.transport"  # where LoopbackProtocol leaves the connection, in the ASGI scope


class FaultKind(StrEnum):
    """What goes wrong."""

    RATE_LIMITED = "rate_limited"  # refused, with Retry-After
    SERVER_ERROR = "server_error"  # refused, the vendor is unwell
    UNAUTHORIZED = "unauthorized"  # refused, as if the credentials were wrong
    FORBIDDEN = "forbidden"  # refused, as by a firewall: of this request, or of all
    RESET = "reset"  # the connection breaks before anything happened
    TIME_OUT_AFTER_EFFECT = "time_out_after_effect"  # done, but the answer comes late
    RESET_AFTER_EFFECT = "reset_after_effect"  # done, and the connection breaks
    BAD_GATEWAY_AFTER_EFFECT = "bad_gateway_after_effect"  # done, and a proxy answers 502
    RESET_MID_ANSWER = "reset_mid_answer"  # done, and the connection breaks within the answer
    MALFORMED_ANSWER = "malformed_answer"  # done, and the body, half of it, is no longer JSON


ALL_KINDS = frozenset(FaultKind)
AFTER_EFFECT = frozenset(
    {
        FaultKind.TIME_OUT_AFTER_EFFECT,
        FaultKind.RESET_AFTER_EFFECT,
        FaultKind.BAD_GATEWAY_AFTER_EFFECT,
    }
)
IN_THE_ANSWER = frozenset({FaultKind.RESET_MID_ANSWER, FaultKind.MALFORMED_ANSWER})
WITH_EFFECT = frozenset({"POST", "PUT", "PATCH", "DELETE", "DATA"})
FORBIDDEN = "<html><head><title>403 Forbidden</title></head></html>"
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head></html>"
HALF_AN_ANSWER = 0.05  # seconds for the first half to arrive before the connection breaks


class Fault(BaseModel):
    """One fault and the requests it is for.

    Faults after effect wait for a request that can have one (POST, PUT, PATCH, DELETE, an SMTP
    DATA); those in the answer take any. SMTP has no answers with a body.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Literal[
        "slack",
        "zendesk",
        "freshdesk",
        "jira",
        "servicenow",
        "twilio",
        "teams",
        "qualtrics",
        "http",
        "smtp",
    ]
    fault: FaultKind
    times: int = Field(default=1, ge=1)
    retry_after: int = Field(default=1, ge=0, description="seconds, for rate_limited")
    delay: float = Field(default=30, ge=0, description="seconds, for time_out_after_effect")
    match: str | None = Field(default=None, description="text that must be in the body")
    path: str | None = Field(
        default=None,
        description="text that must be in the path; without one, access tokens are given",
    )
    method: str | None = Field(default=None, description="of HTTP, in capitals")

    @model_validator(mode="after")
    def _check(self) -> Self:
        of_http = {*IN_THE_ANSWER, FaultKind.BAD_GATEWAY_AFTER_EFFECT}
        if self.service == "smtp" and self.fault in of_http:
            raise ValueError(f"smtp answers without a body; {self.fault} is for HTTP")
        return self

    def applies_to(self, service: str, method: str, path: str, body: str) -> bool:
        """Tell whether a request is one this fault waits for."""
        return (
            service == self.service
            and (self.fault not in AFTER_EFFECT or method in WITH_EFFECT)
            and (self.path in path if self.path else not path.endswith(TOKENS_PATHS))
            and (self.method is None or self.method == method)
            and (self.match is None or self.match in body or self.match in unquote_plus(body))
        )


class Faults:
    """The faults still to come, in the order they were asked for; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        self.closed = threading.Event()  # set when the sandbox stops: late answers never come

    def add(self, fault: Fault) -> None:
        """Queue a fault behind those already there."""
        with self._lock:
            self._pending.append(fault)

    def clear(self) -> None:
        """Drop every fault."""
        with self._lock:
            self._pending.clear()

    def pending(self) -> list[Fault]:
        """Return the faults not used up; ``times`` is what is left of each."""
        with self._lock:
            return list(self._pending)

    def take(
        self,
        service: str,
        *,
        method: str,
        path: str = "",
        body: str = "",
        kinds: Container[FaultKind] = ALL_KINDS,
    ) -> Fault | None:
        """Return the first fault of some kinds for this request, and count it as used once."""
        with self._lock:
            for index, fault in enumerate(self._pending):
                if fault.fault in kinds and fault.applies_to(service, method, path, body):
                    remainder = fault.model_copy(update={"times": fault.times - 1})
                    self._pending[index : index + 1] = [remainder] if remainder.times else []
                    return fault
        return None


Refusal = Callable[[Fault, str], Response]  # a vendor's own wording of a refusal, by path


class FaultInjector:
    """ASGI middleware that lets faults have their way with requests to the look-alikes."""

    def __init__(self, app: ASGIApp, *, faults: Faults, refusals: Mapping[str, Refusal]) -> None:
        self.app = app
        self.faults = faults
        self.refusals = refusals  # by service, which is also the first part of the path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, well or badly."""
        service = scope["path"].split("/")[1] if scope["type"] == "http" else ""
        if service not in self.refusals:
            await self.app(scope, receive, send)
            return
        body = await _read_body(receive)
        text = body.decode("utf-8", "replace")
        fault = self.faults.take(service, method=scope["method"], path=scope["path"], body=text)
        receive = _replay(body, receive)
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.fault is FaultKind.BAD_GATEWAY_AFTER_EFFECT:
            await self.app(scope, receive, _unheard)
            await Response(BAD_GATEWAY, 502, media_type="text/html")(scope, receive, send)
        elif fault.fault in AFTER_EFFECT:
            await self.app(scope, receive, _spoiled(send, scope, fault, self.faults.closed))
        elif fault.fault in IN_THE_ANSWER:
            await self.app(scope, receive, _Halved(send, scope[TRANSPORT], fault.fault))
        elif fault.fault is FaultKind.FORBIDDEN:
            await Response(FORBIDDEN, 403, media_type="text/html")(scope, receive, send)
        elif fault.fault is FaultKind.RESET:
            await _reset(scope, receive)
        else:
            await self.refusals[service](fault, scope["path"])(scope, receive, send)


class LoopbackProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, with the connection within reach so that a fault can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection for the requests that come over it."""
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


def abort(transport: asyncio.BaseTransport) -> None:
    """Break a connection so that the other side sees a reset, not an orderly end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def _unheard(message: Message) -> None:
    """Take an answer that goes to nobody."""


async def _reset(scope: Scope, receive: Receive) -> None:
    abort(scope[TRANSPORT])
    while (await receive())["type"] != "http.disconnect":
        pass


def _spoiled(send: Send, scope: Scope, fault: Fault, closed: threading.Event) -> Send:
    """Spoil an answer: by the time there is one, the effect is stored."""
    transport: asyncio.Transport = scope[TRANSPORT]
    is_late = fault.fault is FaultKind.TIME_OUT_AFTER_EFFECT

    async def spoil(message: Message) -> None:
        if message["type"] == "http.response.start":
            if is_late:
                await _wait(fault.delay, transport, closed)
            if not is_late or closed.is_set():
                abort(transport)
                await asyncio.sleep(0)  # let the server notice that nobody is there to answer
        await send(message)

    return spoil


class _Halved:
    """Hands on the first half of an answer's body; then the answer ends, or the connection does."""

    def __init__(self, send: Send, transport: asyncio.Transport, fault: FaultKind) -> None:
        self._send = send
        self._transport = transport
        self._breaks = fault is FaultKind.RESET_MID_ANSWER
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Collect the answer, and spoil it once it is whole."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        half = self._body[: len(self._body) // 2]
        length = len(self._body) if self._breaks else len(half)
        await self._send({**self._start, "headers": _with_length(self._start["headers"], length)})
        await self._send({"type": message["type"], "body": half, "more_body": self._breaks})
        if self._breaks:
            await asyncio.sleep(HALF_AN_ANSWER)
            abort(self._transport)


def _with_length(headers: Iterable[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]


async def _wait(delay: float, transport: asyncio.Transport, closed: threading.Event) -> None:
    """Wait, but no longer than the client or the sandbox does."""
    until = time.monotonic() + delay
    while time.monotonic() < until and not (transport.is_closing() or closed.is_set()):
        await asyncio.sleep(min(0.05, delay))


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand a body that was read already to the application behind."""
    bodies = [body]

    async def again() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return await receive()

    return again
