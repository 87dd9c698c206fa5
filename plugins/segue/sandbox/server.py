"""All of the sandbox on one HTTP and one SMTP port, for ``segue sandbox`` and for tests.

In a test::

    with Sandbox() as sandbox:  # two free ports, nothing kept
        post(f"{sandbox.url}/slack/api/chat.postMessage", …)
        assert len(sandbox.messages(service="slack")) == 1
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from segue.errors import SegueError, SettingsError
from segue.sandbox import access_tokens, inbox, smtp_server
from segue.sandbox.faults import Fault, FaultInjector, FaultKind, Faults, LoopbackProtocol
from segue.sandbox.store import Clock, Message, Store, utc_now
from segue.sandbox.vendors import (
    freshdesk_api,
    http_api,
    jira_api,
    qualtrics_api,
    servicenow_api,
    slack_api,
    teams_api,
    twilio_api,
    zendesk_api,
)

HOST = "127.0.0.1"
HTTP_PORT = 8090
SMTP_PORT = 1025
START_TIMEOUT = 15  # seconds

VENDORS = (
    slack_api,
    zendesk_api,
    freshdesk_api,
    jira_api,
    servicenow_api,
    twilio_api,
    teams_api,
    qualtrics_api,
    http_api,
)


def create_app(store: Store, faults: Faults | None = None) -> FastAPI:
    """Serve the inbox at ``/`` and each vendor under its name, as in ``/slack``."""
    faults = Faults() if faults is None else faults
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(inbox.pages(store))
    app.include_router(inbox.api(store, faults))
    for vendor in VENDORS:
        app.mount(f"/{vendor.api.service}", vendor.api.app(store))
    refusals = {vendor.api.service: vendor.api.refusal for vendor in VENDORS}
    app.add_middleware(FaultInjector, faults=faults, refusals=refusals)
    return app


class Sandbox:
    """A running sandbox; port 0 takes a free one, and a folder makes it remember."""

    def __init__(
        self,
        *,
        host: str = HOST,
        http_port: int = 0,
        smtp_port: int = 0,
        folder: Path | str | None = None,
        smtp_auth_required: bool = False,
        clock: Clock = utc_now,
    ) -> None:
        self.host = host
        self.http_port = http_port
        self.smtp_port = smtp_port
        self.faults = Faults()
        self._folder = folder
        self._clock = clock
        self._smtp_auth_required = smtp_auth_required
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Take the ports, open the store and start answering."""
        http_socket = _listen(self.host, self.http_port, "HTTP")
        try:
            smtp_socket = _listen(self.host, self.smtp_port, "SMTP")
        except SettingsError:
            http_socket.close()
            raise
        try:
            self.store = Store(self._folder, clock=self._clock)
        except SettingsError:
            http_socket.close()
            smtp_socket.close()
            raise
        self.http_port = http_socket.getsockname()[1]
        self.smtp_port = smtp_socket.getsockname()[1]
        self._start(http_socket, smtp_socket)
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop answering, break what is still connected and close the store."""
        self.faults.closed.set()
        self._server.should_exit = True
        self._thread.join()
        self.store.close()

    @property
    def url(self) -> str:
        """The address of the inbox; vendors are below it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.http_port}"

    @property
    def running(self) -> bool:
        """Tell whether the sandbox still answers."""
        return self._thread.is_alive()

    def messages(self, **criteria: str | None) -> list[Message]:
        """Return what was received, oldest first; the criteria are those of ``Store.messages``."""
        return self.store.messages(**criteria)

    def fault(self, service: str, fault: FaultKind | str, **options: Any) -> None:
        """Let the next requests to a service go wrong; the options are Fault's fields."""
        self.faults.add(Fault.model_validate({"service": service, "fault": fault, **options}))

    def clear(self) -> None:
        """Forget what was received and what was to go wrong."""
        self.store.clear()
        self.faults.clear()

    def _start(self, http_socket: socket.socket, smtp_socket: socket.socket) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(self.store, self.faults),
                http=LoopbackProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                timeout_graceful_shutdown=1,
            )
        )
        is_up = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(http_socket, smtp_socket, is_up), name="segue-sandbox"
        )
        self._thread.daemon = True
        self._thread.start()
        if not is_up.wait(START_TIMEOUT) or self._failure is not None:
            self._server.should_exit = True
            self.store.close()
            raise SettingsError(f"the sandbox did not start: {self._failure or 'timed out'}")

    def _run(
        self, http_socket: socket.socket, smtp_socket: socket.socket, started: threading.Event
    ) -> None:
        try:
            asyncio.run(self._serve(http_socket, smtp_socket, started))
        except BaseException as failure:
            self._failure = failure
            raise
        finally:
            http_socket.close()
            started.set()

    async def _serve(
        self, http_socket: socket.socket, smtp_socket: socket.socket, started: threading.Event
    ) -> None:
        """Answer both ports in one event loop, until told to stop."""
        mail = await smtp_server.serve(
            smtp_socket, self.store, self.faults, auth_required=self._smtp_auth_required
        )
        web = asyncio.create_task(self._server.serve(sockets=[http_socket]))
        while not (self._server.started or web.done()):
            await asyncio.sleep(0.01)
        started.set()
        await web
        mail.close()


def run(
    host: str = HOST,
    http_port: int = HTTP_PORT,
    smtp_port: int = SMTP_PORT,
    folder: Path | str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; raise SettingsError if a port or the folder is taken."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, on_signal) for number in signals}
    try:
        with Sandbox(host=host, http_port=http_port, smtp_port=smtp_port, folder=folder) as sandbox:
            print(describe(sandbox, folder), flush=True)  # noqa: T201 - a command's output
            while not stop.wait(0.5):
                if not sandbox.running:
                    raise SegueError("the sandbox has stopped by itself; the log says why")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    print("The sandbox has stopped.", flush=True)  # noqa: T201 - a command's output


def describe(sandbox: Sandbox, folder: Path | str | None) -> str:
    """Return where things are and which credentials are accepted."""
    rows = [
        ("Inbox", f"{sandbox.url}/", ""),
        ("Slack API", f"{sandbox.url}/slack/api/", f"token {slack_api.TOKEN}"),
        ("Slack webhook", f"{sandbox.url}/slack/services/{slack_api.WEBHOOK}", ""),
        (
            "Zendesk",
            f"{sandbox.url}/zendesk",
            f"OAuth client {access_tokens.CLIENT_ID} : {access_tokens.CLIENT_SECRET}",
        ),
        ("Freshdesk", f"{sandbox.url}/freshdesk", f"API key {freshdesk_api.API_KEY}"),
        ("Jira", f"{sandbox.url}/jira", f"{jira_api.EMAIL_ADDRESS} : {jira_api.API_TOKEN}"),
        (
            "ServiceNow",
            f"{sandbox.url}/servicenow",
            f"{servicenow_api.USER} : {servicenow_api.PASSWORD}",
        ),
        (
            "Twilio",
            f"{sandbox.url}/twilio",
            f"{twilio_api.ACCOUNT_SID} : {twilio_api.AUTH_TOKEN}",
        ),
        (
            "Qualtrics",
            f"{sandbox.url}/qualtrics",
            f"token {qualtrics_api.TOKEN}, directory {qualtrics_api.DIRECTORY}",
        ),
        ("Teams webhook", f"{sandbox.url}/teams{teams_api.WEBHOOK}", ""),
        ("Any HTTP API", f"{sandbox.url}/http", f"token {http_api.TOKEN}"),
        (
            "SMTP",
            f"{sandbox.host}:{sandbox.smtp_port}",
            f"no login, or {smtp_server.USER} : {smtp_server.PASSWORD}",
        ),
        ("Kept in", str(folder) if folder else "memory only", ""),
    ]
    lines = [f"  {name:<14} {where:<62} {how}".rstrip() for name, where, how in rows]
    return "\n".join(["The Segue sandbox is running; Ctrl-C stops it.", *lines])


def _listen(host: str, port: int, what: str) -> socket.socket:
    """Take a port, or say plainly why that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"the sandbox cannot listen on {host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"the sandbox cannot have {what} port {port} on {host}: {error.strerror}; "
            "stop what listens there, or choose others with --http-port and --smtp-port"
        ) from error
    return listener
