from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import httpx
import pytest

from segue.errors import SettingsError
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import slack_api, zendesk_api

ZENDESK = (f"{zendesk_api.EMAIL_ADDRESS}/token", zendesk_api.API_TOKEN)
BEARER = {"Authorization": f"Bearer {slack_api.TOKEN}"}
RUN = "import sys; from segue.sandbox.server import run; run('127.0.0.1', 0, 0, sys.argv[1])"


def create_ticket(url: str, key: str) -> httpx.Response:
    ticket = {"ticket": {"comment": {"body": "x"}, "external_id": key}}
    headers = {"Idempotency-Key": key}
    url = f"{url}/zendesk/api/v2/tickets.json"
    return httpx.post(url, json=ticket, headers=headers, auth=ZENDESK)


def post_message(url: str) -> httpx.Response:
    arguments = {"channel": "general", "text": "hello"}
    return httpx.post(f"{url}/slack/api/chat.postMessage", json=arguments, headers=BEARER)


def test_a_restarted_sandbox_knows_tickets_keys_and_messages(tmp_path: Path) -> None:
    """With a folder, idempotency holds across a restart and ids go on."""
    with Sandbox(folder=tmp_path) as before:
        first = create_ticket(before.url, "k1").json()["ticket"]
        channel = post_message(before.url).json()["channel"]

    with Sandbox(folder=tmp_path) as after:
        again = create_ticket(after.url, "k1")
        second = create_ticket(after.url, "k2").json()["ticket"]
        url = f"{after.url}/slack/api/conversations.history"
        history = httpx.get(url, params={"channel": channel}, headers=BEARER).json()

        assert again.headers["x-idempotency-lookup"] == "hit"
        assert second["id"] == first["id"] + 1
        assert [message["text"] for message in history["messages"]] == ["hello"]
        assert len(after.messages(service="zendesk")) == 2


def test_without_a_folder_nothing_is_remembered() -> None:
    """Two sandboxes in a row, or side by side, know nothing of each other."""
    with Sandbox() as one, Sandbox() as other:
        post_message(one.url)

        assert one.http_port != other.http_port
        assert (len(one.messages()), len(other.messages())) == (1, 0)


@pytest.mark.parametrize("what", ["HTTP", "SMTP"])
def test_a_taken_port_is_a_clear_error(what: str) -> None:
    """The error names the port and what wanted it, and the other port is given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"http_port": port} if what == "HTTP" else {"smtp_port": port}
        with pytest.raises(SettingsError, match=rf"{what} port {port} on 127\.0\.0\.1"):
            Sandbox(**ports).__enter__()


def test_a_folder_in_use_is_a_clear_error(tmp_path: Path) -> None:
    """Two sandboxes cannot keep the same journal."""
    with (
        Sandbox(folder=tmp_path),
        pytest.raises(SettingsError, match="in use by another sandbox"),
        Sandbox(folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/slack/docs", "/zendesk/openapi.json"])
def test_no_generated_pages_are_served(path: str) -> None:
    """FastAPI's own documentation pages are off everywhere."""
    with Sandbox() as sandbox:
        assert httpx.get(f"{sandbox.url}{path}").status_code == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_prints_where_things_are_and_stops_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The command names its addresses, answers, and ends with 0 on SIGINT and SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = list(takewhile(lambda line: "Kept in" not in line, process.stdout))
        url = re.search(r"Inbox\s+(http://127\.0\.0\.1:\d+)/", "".join(lines))
        assert url is not None
        assert post_message(url[1]).json()["ok"] is True
        process.send_signal(number)
        rest = process.stdout.read()

    assert (process.returncode, rest) == (0, "The sandbox has stopped.\n")


def test_a_killed_sandbox_has_kept_every_message_it_answered(tmp_path: Path) -> None:
    """SIGKILL right after an answer loses nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    inbox = process.stdout.readline().split()[1].rstrip("/")
    for _ in range(3):
        post_message(inbox)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    with Sandbox(folder=tmp_path) as sandbox:
        assert len(sandbox.messages(service="slack")) == 3
