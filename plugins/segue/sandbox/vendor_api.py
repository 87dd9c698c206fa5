"""What the look-alikes of HTTP APIs have in common: routes, credentials and refusals.

A look-alike is one ``VendorApi`` and functions that answer calls::

    api = VendorApi(SERVICE, is_authentic=_is_authentic, not_found=…, …)

    @api.post("/tickets")
    def _create(call: Call) -> Response:
        ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partialmethod
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Message, Store, Transaction, iso
from segue.sandbox.wire import ReceivedRequest

KEY_LENGTH = 255  # characters of an Idempotency-Key


@dataclass(frozen=True, slots=True)
class Call(ReceivedRequest):
    """A request to a look-alike, and what it works on."""

    service: str
    store: Store
    transaction: Transaction  # all that the call does is one, and nothing where it is refused
    base_url: str  # of the look-alike, without a slash at its end
    path_values: Mapping[str, str]  # by the name that the route has for them

    def receive(self, kind: str, **parts: Any) -> Message:
        """Record one effect of the call; the parts are those of ``Transaction.receive``."""
        return self.transaction.receive(self.service, kind, raw=self.raw(), **parts)


class Refused(Exception):
    """A call that a look-alike does not accept, with the vendor's answer to it."""

    def __init__(self, answer: Response) -> None:
        super().__init__(f"refused with {answer.status_code}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class IdempotencyKeys:
    """The answers to requests with an Idempotency-Key, each given again while its key lives."""

    collection: str
    lifetime: timedelta
    too_long: Response  # to a key of more than KEY_LENGTH characters
    differs: Response  # to another request under the same key

    def answer(self, call: Call, same: str, make: Callable[[], Document]) -> tuple[Document, bool]:
        """Return the answer to a call, and whether it is that to an earlier one.

        ``same`` is what two requests have in common that are the same.
        """
        key, now = call.headers["idempotency-key"], call.store.clock()
        if len(key) > KEY_LENGTH:
            raise Refused(self.too_long)
        digest = hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()
        record = call.transaction.get(self.collection, key)
        if record and now - datetime.fromisoformat(record["at"]) <= self.lifetime:
            if record["request"] != digest:
                raise Refused(self.differs)
            return record["answer"], True
        answer = make()
        document = {"at": iso(now), "request": digest, "answer": answer}
        call.transaction.put(self.collection, key, document)
        return answer, False


Answer = Callable[[Call], Response]


class VendorApi:
    """One vendor's HTTP API: what it serves, and how it words its refusals.

    ``is_authentic`` tells whether a call's credentials are right, or raises Refused itself. The
    answers to faults are ``limited``, given the Retry-After in headers, ``unauthorized`` and
    ``unwell``.
    """

    def __init__(
        self,
        service: str,
        *,
        is_authentic: Callable[[Call], bool],
        not_found: Response,
        not_allowed: Response,
        limited: Callable[[dict[str, str]], Response],
        unauthorized: Callable[[], Response],
        unwell: Callable[[], Response],
    ) -> None:
        self.service = service
        self.not_found = not_found
        self._not_allowed = not_allowed
        self._is_authentic = is_authentic
        self._limited, self._unauthorized, self._unwell = limited, unauthorized, unwell
        self._routes: list[tuple[str, list[str], Answer]] = []

    def route(self, methods: str, *paths: str) -> Callable[[Answer], Answer]:
        """Serve paths; of several that a request fits, the one that was given first."""

        def serve(answer: Answer) -> Answer:
            self._routes += [(path, methods.split(), answer) for path in paths]
            return answer

        return serve

    get = partialmethod(route, "GET")
    post = partialmethod(route, "POST")
    put = partialmethod(route, "PUT")
    delete = partialmethod(route, "DELETE")

    def app(self, store: Store) -> FastAPI:
        """Make the application; it has none of FastAPI's own pages, as no vendor has them."""
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.add_exception_handler(Refused, _refused)
        app.add_exception_handler(HTTPException, self._unknown)
        for path, methods, answer in self._routes:
            app.add_api_route(path, self._endpoint(store, answer), methods=methods)
        return app

    def refusal(self, fault: Fault, path: str) -> Response:
        """Refuse a request at a path the way the vendor does."""
        if fault.fault is FaultKind.RATE_LIMITED:
            return self._limited({"Retry-After": str(fault.retry_after)})
        if fault.fault is FaultKind.UNAUTHORIZED:
            return self._unauthorized()
        return self._unwell()

    def _endpoint(self, store: Store, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            body = (await request.body()).decode("utf-8", "replace")
            with store.transaction() as transaction:
                call = self._call(request, body, store, transaction)
                if not self._is_authentic(call):
                    raise Refused(self._unauthorized())
                return answer(call)

        return serve

    def _call(self, request: Request, body: str, store: Store, transaction: Transaction) -> Call:
        query = f"?{request.url.query}" if request.url.query else ""
        mount = request.url.replace(path=request.scope["root_path"], query="")
        return Call(
            method=request.method,
            path=request.url.path + query,
            headers=dict(request.headers),
            query=dict(request.query_params),
            body=body,
            service=self.service,
            store=store,
            transaction=transaction,
            base_url=str(mount).rstrip("/"),
            path_values=request.path_params,
        )

    async def _unknown(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return self._not_allowed if status == 405 else self.not_found


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.answer
