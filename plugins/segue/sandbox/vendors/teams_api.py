"""A look-alike of the webhook of a Teams workflow ("When a Teams webhook request is received").

Follows these public pages:
    https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook (the body; 28 KB)
    https://learn.microsoft.com/azure/connectors/connectors-native-reqres (202 with an empty body
    where the workflow has no response action)
    https://learn.microsoft.com/azure/logic-apps/logic-apps-http-endpoint (sp, sv and sig in the
    URL; errors as ``{"error": {"code", "message"}}``)
    https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format

The one workflow behind it posts every card that it is given. It answers before it has looked at
them: a card that Teams does not take is a run that failed (kind ``failed_run``), and the caller is
told 202 all the same.

Left out: limits of its own (ask for a fault), what a card looks like, and elements that Teams does
not draw. The codes of 400, 401 and 404 are those that people report; no page lists them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from fastapi import FastAPI, Request
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Store, Transaction
from segue.sandbox.wire import (
    ReceivedRequest,
    Refused,
    answer_refusals,
    json_answer,
    json_object,
    read_request,
    vendor_app,
)

SERVICE = "teams"
WORKFLOW = "5e90e5e90e5e90e5e90e5e90e5e90e00"
SIGNATURE = "sandbox-signature"
TRIGGER = f"/workflows/{WORKFLOW}/triggers/manual/paths/invoke"
WEBHOOK = f"{TRIGGER}?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"

CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
LARGEST = 28 * 1024  # bytes of a message
LARGEST_REQUEST = 100_000_000  # bytes that a workflow is called with


def create_app(store: Store) -> FastAPI:
    """Serve the webhook of one workflow."""
    app = vendor_app()
    not_allowed = _error(405, "MethodNotAllowed", "The method is not allowed.")
    answer_refusals(app, not_found=_error(404, "ResourceNotFound"), not_allowed=not_allowed)

    @app.post("/workflows/{workflow}/triggers/manual/paths/invoke")
    async def invoke(workflow: str, request: Request) -> Response:
        call = await read_request(request)
        _authorize(call, workflow)
        return _run(store, call)

    return app


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request the way a workflow's trigger does."""
    if fault.fault is FaultKind.RATE_LIMITED:
        headers = {"Retry-After": str(fault.retry_after)}
        return _error(429, "TooManyRequests", "Rate limit is exceeded.", headers)
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _unauthorized()
    return _error(503, "ServiceUnavailable", "The service is temporarily unavailable.")


def _error(
    status: int, code: str, message: str = "", headers: dict[str, str] | None = None
) -> Response:
    return json_answer({"error": {"code": code, "message": message}}, status, headers)


def _unauthorized() -> Response:
    text = "The authentication credentials are not valid."
    return _error(401, "AuthorizationFailed", text)


def _authorize(request: ReceivedRequest, workflow: str) -> None:
    if not request.query.get("sig"):
        text = "The request must be authenticated only by Shared Access scheme."
        raise Refused(_error(401, "DirectApiAuthorizationRequired", text))
    if workflow != WORKFLOW:
        text = f"The workflow '{workflow}' could not be found."
        raise Refused(_error(404, "WorkflowNotFound", text))
    signature = request.query["sig"].encode("utf-8", "replace")
    if not hmac.compare_digest(signature, SIGNATURE.encode()):
        raise Refused(_unauthorized())


def _run(store: Store, request: ReceivedRequest) -> Response:
    document = json_object(request.body)
    if request.content_type != "application/json" or document is None:
        text = "The input body for trigger 'manual' of type 'Request' must be of type JSON."
        return _error(400, "InvalidRequestContent", text)
    if len(request.body.encode("utf-8", "replace")) > LARGEST_REQUEST:
        return _error(413, "RequestEntityTooLarge")
    failure = next(_failures(document, len(request.body.encode("utf-8", "replace"))), None)
    with store.transaction() as transaction:
        run = f"0858{transaction.next_id('teams.runs'):028d}CU00"
        if failure:
            _receive(transaction, "failed_run", {"run": run, "why": failure}, failure, request)
        else:
            for attachment in document["attachments"]:
                fields = {"run": run, "card": attachment["content"]}
                _receive(transaction, "card", fields, _text_of(attachment["content"]), request)
    return Response(status_code=202, headers={"x-ms-workflow-run-id": run})


def _failures(given: Document, size: int) -> Iterator[str]:
    """Yield why the workflow's own steps do not get a card posted."""
    attachments = given.get("attachments")
    if not isinstance(attachments, list):
        yield "the result of the evaluation of 'foreach' expression is not an array"
        return
    if size > LARGEST:
        yield "Request Entity too large"
    for attachment in attachments:
        card = attachment.get("content") if isinstance(attachment, dict) else None
        if not isinstance(card, dict) or card.get("type") != "AdaptiveCard":
            yield "Property 'type' must be 'AdaptiveCard'"
        elif attachment.get("contentType") != CONTENT_TYPE:
            yield f"contentType must be {CONTENT_TYPE}"
        elif not isinstance(card.get("version"), str):
            yield "Property 'version' must be a string"
        elif any(not isinstance(one, dict) or "type" not in one for one in card.get("body", [])):
            yield "An element of the body has no type"


def _receive(
    transaction: Transaction, kind: str, fields: Document, text: str, request: ReceivedRequest
) -> None:
    transaction.receive(
        SERVICE, kind, to="Teams channel", text=text, fields=fields, raw=request.raw()
    )


def _text_of(card: object) -> str:
    """Return the texts of a card in their order, one to a line."""
    return "\n".join(_texts(card))


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name in ("text", "title", "value") and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)
