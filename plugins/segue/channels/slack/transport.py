"""How the SDK's requests go out: to Slack and nowhere else, with an end to every answer.

The SDK leaves that to urllib, which follows redirects: it would make a GET of a post, and send the
token along to whichever host an answer names. Nor has urllib an end to answers. So both of the
SDK's clients get another way out.
"""

from __future__ import annotations

from email.message import Message
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from segue.channels.answers_in_time import AnswerInTime
from segue.channels.http.calls import LARGEST_ANSWER, LONGEST_ANSWER

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.webhook import WebhookClient, WebhookResponse

Answer = tuple[int, Message, str]


def hold_to_slack(client: WebClient) -> None:
    """Have a client of the Web API follow no redirect, and read its answers within bounds."""

    def perform(url: str, req: Request) -> dict[str, Any]:
        status, headers, body = _fetch(client, url, req)
        return {"status": status, "headers": headers, "body": body}

    client._perform_urllib_http_request_internal = perform  # type: ignore[method-assign]


def hold_webhook_to_slack(client: WebhookClient) -> None:
    """Do the same with a webhook's client."""
    from slack_sdk.webhook import WebhookResponse

    def perform(url: str, req: Request) -> WebhookResponse:
        status, headers, body = _fetch(client, url, req)
        return WebhookResponse(url=url, status_code=status, body=body, headers=dict(headers))

    client._perform_http_request_internal = perform  # type: ignore[method-assign]


def _fetch(client: WebClient | WebhookClient, url: str, request: Request) -> Answer:
    """Return an answer of success, read; raise HTTPError for another one, read as well."""
    from slack_sdk.errors import SlackRequestError

    if not url.lower().startswith(("http://", "https://")):
        raise SlackRequestError("not an address of HTTP")
    try:
        with _opener(client).open(request, timeout=client.timeout) as response:
            return response.status, response.headers, _read(response)
    except HTTPError as error:
        with error:
            body = BytesIO(_read(error).encode())
        raise HTTPError(url, error.code, "", error.headers, body) from None


def _opener(client: WebClient | WebhookClient) -> OpenerDirector:
    proxies = [ProxyHandler({"http": client.proxy, "https": client.proxy})] if client.proxy else []
    return build_opener(_NoRedirects, _Http, _Https(context=client.ssl), *proxies)


def _read(response: Any) -> str:
    content = response.read(LARGEST_ANSWER + 1)
    if len(content) > LARGEST_ANSWER:
        raise OSError("the answer is too large")
    return str(content.decode(errors="replace"))


class _NoRedirects(HTTPRedirectHandler):
    """Leaves a redirect to be what it is: an answer that is no success."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> None:
        """Answer for no redirect."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _with_an_end(make: Any, *args: Any, **named: Any) -> HTTPConnection:
    connection: HTTPConnection = make(*args, **named)
    connection.response_class = partial(AnswerInTime, seconds=LONGEST_ANSWER)  # type: ignore[assignment]
    return connection


class _Http(HTTPHandler):
    def do_open(self, http_class: Any, req: Request, **named: Any) -> Any:
        return super().do_open(partial(_with_an_end, http_class), req, **named)


class _Https(HTTPSHandler):
    def do_open(self, http_class: Any, req: Request, **named: Any) -> Any:
        return super().do_open(partial(_with_an_end, http_class), req, **named)
