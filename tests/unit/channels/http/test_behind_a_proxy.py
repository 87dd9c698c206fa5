"""Paths behind a real nginx, which decodes them, resolves their dots and encodes them again.

``proxy_pass`` with a path is how most gateways are written: whatever a contact's value has made of
the path is what the API gets.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from segue.channels.http.request import HttpRequest
from segue.errors import ContactFailure
from segue.live.http_details import HttpDetails
from tests.unit.channels.hostile import PATHS, TEXTS
from tests.unit.channels.servers import free_port, listening
from tests.unit.channels.support import deliver, http, vendor

CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{ proxy_pass {backend}/; }}
    location /twice/ {{ proxy_pass http://127.0.0.1:{port}/api/; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def received() -> list[str]:
    """The paths of the requests that came through."""
    return []


@pytest.fixture(scope="module")
def nginx(received: list[str]) -> Iterator[str]:
    """The address of an nginx in front of an API."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise FileNotFoundError("nginx")
        pytest.skip("nginx is not installed")

    def answer(request: str) -> bytes:
        received.append(request.split()[1])
        return http("200 OK", '{"tier": "gold"}')

    with vendor(answer) as backend, tempfile.TemporaryDirectory() as folder:
        port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        file = Path(folder) / "nginx.conf"
        file.write_text(CONFIGURATION.format(user=user, folder=folder, port=port, backend=backend))
        with listening([program, "-p", folder, "-c", file, "-e", "stderr"], port) as url:
            yield url


@pytest.fixture
def paths_of(nginx: str, received: list[str], set_connection) -> Callable[[str, str], list[str]]:
    """Send a value in a path through nginx, and return what the API was asked for."""

    def send(value: str, entrance: str) -> list[str]:
        received.clear()
        set_connection("crm", conn_type="http", host=f"{nginx}/{entrance}")
        fields = {"connection": "crm", "method": "DELETE"}
        path = "/contacts/{{ contact.reference }}/tags/at-risk"
        try:
            deliver(HttpRequest.model_validate({**fields, "path": path}), reference=value)
        except ContactFailure:
            assert received == []
        return list(received)

    return send


@pytest.mark.parametrize("entrance", ["api", "twice"])
@pytest.mark.parametrize("value", [text for text in TEXTS if len(text) < 1_000])
def test_no_value_leads_the_api_to_another_path(paths_of, value: str, entrance: str):
    """It stays between what is before and behind it, or nothing is sent."""
    for path in paths_of(value, entrance):
        assert path.startswith("/contacts/")
        assert path.endswith("/tags/at-risk")
        assert not {".", ".."} & set(re.split(r"[/\\]", unquote(unquote(path))))


@pytest.mark.parametrize("value", ["x/../../admin/users/1?", "x/..", *PATHS[:13]])
def test_what_would_climb_is_refused(paths_of, value: str):
    assert paths_of(value, "api") == []


@pytest.mark.parametrize(
    "value", ["CID_1", "a b", "Zoë", "3.14", "a..b", "...", "50%", "x?y", "a/b"]
)
def test_what_would_not_climb_arrives(paths_of, value: str):
    [path] = paths_of(value, "api")
    assert unquote(path) == f"/contacts/{value}/tags/at-risk"


@pytest.mark.parametrize("value", PATHS[:13])
def test_a_look_up_is_refused_alike(nginx: str, received: list[str], set_connection, value: str):
    received.clear()
    set_connection("crm", conn_type="http", host=f"{nginx}/api")
    source = HttpDetails.model_validate(
        {"connection": "crm", "path": "/contacts/{{ contact.id }}/x", "fields": {"tier": "tier"}}
    )
    with source.connect() as reader:
        [answer] = reader.look_up({"c": {"id": value}}).values()
    assert isinstance(answer, ContactFailure)
    assert received == []
