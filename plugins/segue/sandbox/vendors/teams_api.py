"""A look-alike of the webhook of a Teams workflow ("When a Teams webhook request is received").

Follows these public pages:
    https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook (the body; 28 KB)
    https://learn.microsoft.com/azure/connectors/connectors-native-reqres (202 with an empty body
    where the workflow has no response action)
    https://learn.microsoft.com/azure/logic-apps/logic-apps-http-endpoint (sp, sv and sig in the
    URL; errors as ``{"error": {"code", "message"}}``)
    https://github.com/caronc/apprise/issues/1405 (paths since 2025, as people show them: below
    ``environment.api.powerplatform.com``; those of ``logic.azure.com`` stopped)
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
from typing import Any

from starlette.responses import Response

from segue.sandbox.store import Document
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import json_answer, json_object

SERVICE = "teams"
CHANNEL = "Teams channel"  # as people name the place where cards go
WORKFLOW = "5e90e5e90e5e90e5e90e5e90e5e90e00"
SIGNATURE = "sandbox-signature"
PATH = "/powerautomate/automations/direct/workflows/{workflow}/triggers/manual/paths/invoke"
QUERY = f"api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"
WEBHOOK = f"{PATH.format(workflow=WORKFLOW)}?{QUERY}"

CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
LARGEST = 28 * 1024  # bytes of a message
LARGEST_REQUEST = 100_000_000  # bytes that a workflow is called with


def _error(
    status: int, code: str, message: str = "", headers: dict[str, str] | None = None
) -> Response:
    return json_answer({"error": {"code": code, "message": message}}, status, headers)


def _is_authentic(call: Call) -> bool:
    """Tell whether the signature is right; without one, or in another workflow, refuse."""
    if not call.query.get("sig"):
        text = "The request must be authenticated only by Shared Access scheme."
        raise Refused(_error(401, "DirectApiAuthorizationRequired", text))
    workflow = call.path_values["workflow"]
    if workflow != WORKFLOW:
        text = f"The workflow '{workflow}' could not be found."
        raise Refused(_error(404, "WorkflowNotFound", text))
    signature = call.query["sig"].encode("utf-8", "replace")
    return hmac.compare_digest(signature, SIGNATURE.encode())


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(404, "ResourceNotFound"),
    not_allowed=_error(405, "MethodNotAllowed", "The method is not allowed."),
    limited=lambda headers: _error(429, "TooManyRequests", "Rate limit is exceeded.", headers),
    unauthorized=lambda: _error(
        401, "AuthorizationFailed", "The authentication credentials are not valid."
    ),
    unwell=lambda: _error(503, "ServiceUnavailable", "The service is temporarily unavailable."),
)


@api.post(PATH)
def _run(call: Call) -> Response:
    document = json_object(call.body)
    if call.content_type != "application/json" or document is None:
        text = "The input body for trigger 'manual' of type 'Request' must be of type JSON."
        return _error(400, "InvalidRequestContent", text)
    size = len(call.body.encode("utf-8", "replace"))
    if size > LARGEST_REQUEST:
        return _error(413, "RequestEntityTooLarge")
    failure = next(_failures(document, size), None)
    run = f"0858{call.transaction.next_id('teams.runs'):028d}CU00"
    if failure:
        fields = {"run": run, "why": failure}
        call.receive("failed_run", to=CHANNEL, text=failure, fields=fields)
    else:
        for attachment in document["attachments"]:
            card = attachment["content"]
            fields = {"run": run, "card": card}
            call.receive("card", to=CHANNEL, text="\n".join(_texts(card)), fields=fields)
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
        yield from _card_failures(attachment)


def _card_failures(attachment: Any) -> Iterator[str]:
    card = attachment.get("content") if isinstance(attachment, dict) else None
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard":
        yield "Property 'type' must be 'AdaptiveCard'"
    elif attachment.get("contentType") != CONTENT_TYPE:
        yield f"contentType must be {CONTENT_TYPE}"
    elif not isinstance(card.get("version"), str):
        yield "Property 'version' must be a string"
    elif any(not isinstance(one, dict) or "type" not in one for one in card.get("body", [])):
        yield "An element of the body has no type"


def _texts(part: object) -> Iterator[str]:
    """Yield the texts of a card in their order."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name in ("text", "title", "value") and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)
