"""Who may see what: every route without a login, and each role of the simple auth manager."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute

ROOT = Path(__file__).parents[2]


def routes() -> list[tuple[str, str]]:
    """Each (method, path) of the application, with something in place of its parameters."""
    from segue.web.app import create_app

    return [
        (method, route.path.replace("{path:path}", "segue.css").replace("{key}", "0" * 64))
        for route in create_app().routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


def test_every_route_needs_a_login(client, ledger):
    """Pages, static files, the API, its description, and addresses that do not exist."""
    anybody = client(None)
    refused = {
        (method, path): anybody.request(method, f"/segue{path}").status_code
        for method, path in routes()
    }
    assert len(refused) > 3
    assert set(refused.values()) == {401}, refused


def routes_of_a_workflow() -> Iterator[tuple[str, str]]:
    """Each (method, address) that takes ``workflow`` in its path or query, here ``secret``."""
    from segue.web.app import create_app

    for route in create_app().routes:
        if not isinstance(route, APIRoute):
            continue
        parameters = get_flat_dependant(route.dependant)
        path = route.path.replace("{workflow}", "secret").replace("{key}", "0" * 64)
        in_query = "workflow" in {each.alias for each in parameters.query_params}
        if in_query or "{workflow}" in route.path:
            yield from ((each, path + "?workflow=secret" * in_query) for each in route.methods)


def test_every_route_of_a_workflow_refuses_whoever_may_not_read_it(
    client, ledger, definitions, only_reads
):
    definitions("welcome")
    definitions("secret")
    only_reads("welcome")
    viewer = client("vera")
    answers = {
        (method, path): viewer.request(method, f"/segue{path}").status_code
        for method, path in routes_of_a_workflow()
    }
    assert len(answers) > 10
    assert set(answers.values()) == {403}, answers


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.mark.parametrize("method", METHODS)
def test_no_method_is_answered_without_a_login(client, ledger, method):
    """Be it one that the address is for or not."""
    anybody = client(None)
    for _, path in routes():
        assert anybody.request(method, f"/segue{path}").status_code == 401, path


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", "stop", b"no boundary", "multipart/form-data"),
        ("POST", "stop", b"f=x&" * 1_100, "application/x-www-form-urlencoded"),
        ("POST", "api/v1/workflows/welcome/stop", b"{no json", "application/json"),
        ("PROPFIND", "workflows", b"", "text/xml"),
    ],
)
def test_the_login_comes_before_what_was_sent(client, ledger, method, path, body, kind):
    """Nobody's body is read; of somebody who is signed in it is what is wrong."""
    answers = [
        client(name).request(method, f"/segue/{path}", content=body, headers={"content-type": kind})
        for name in (None, "anna")
    ]
    assert answers[0].status_code == 401
    # 403 is the form without its token: of older Starlettes, which count no fields
    assert answers[1].status_code in (400, 403, 405, 422)
    assert "Sign in to Airflow" not in answers[1].text


def test_a_method_that_an_address_is_not_for_is_a_405_that_says_which_is(client, ledger):
    anna = client("anna")
    for method, path, allowed in (
        ("DELETE", "workflows", "GET"),
        ("PUT", "static/segue.css", "GET"),
        ("GET", "stop", "POST"),
        ("PATCH", "api/v1/workflows/welcome/stop", "POST"),
    ):
        answer = anna.request(method, f"/segue/{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert anna.request("DELETE", "/segue/nothing").status_code == 404


def test_head_is_get_without_the_body(client, ledger, definitions):
    """``curl -I`` and checkers of links ask so."""
    definitions("welcome")
    for path in ("workflows", "workflow?workflow=welcome", "static/segue.css", "api/v1/workflows"):
        answer = client("vera").head(f"/segue/{path}")
        full = client("vera").get(f"/segue/{path}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == full.headers["content-type"]
    assert client("vera").head("/segue/workflow?workflow=nothing").status_code == 404
    assert client("vera").head("/segue/stop").status_code == 405


def test_the_page_that_asks_for_a_login_needs_no_file_that_needs_one(client, ledger):
    """Its style and its script are in it, and allowed by their own digests alone."""
    answer = client(None).get("/segue/workflows")
    assert answer.status_code == 401
    assert not re.search(r'(src|href)="[^"]*static', answer.text)
    policy = answer.headers["content-security-policy"]
    for kind, tag in (("style", "style"), ("script", "script")):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy
    assert "Sign in to Airflow" in answer.text


def test_behind_a_link_static_files_are_there(tmp_path):
    """As git-sync, releases behind ``current``, and macOS' /tmp have it."""
    link = tmp_path / "current"
    link.symlink_to(ROOT / "plugins")
    code = (
        "from segue.web import app, pages; from pathlib import Path; "
        "assert 'current' in app.__file__; "
        "print(app._static('segue.css').path, len(pages.static_files()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(link)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path, number = done.stdout.split()[-2:]
    assert path.endswith("static/segue.css")
    assert int(number) >= 9


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json", "docs/oauth2-redirect"])
def test_no_description_is_open(client, ledger, path):
    assert client(None).get(f"/segue/{path}").status_code == 401
    assert client("anna").get(f"/segue/{path}").status_code == 404


@pytest.mark.parametrize("path", ["../app.py", "..%2Fapp.py", "%2e%2e/app.py", "nothing.css", ""])
def test_static_files_are_those_of_the_folder(client, ledger, path):
    assert client("vera").get(f"/segue/static/{path}").status_code == 404


def test_pages_may_be_framed_by_airflow_alone_and_run_no_inline_script(client, ledger):
    headers = client("vera").get("/segue/workflows").headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["frame-ancestors"] == "'self'"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_a_workflow_that_does_not_exist_is_a_404_after_the_login(client, ledger):
    path = "/segue/workflow?workflow=nothing"
    assert client(None).get(path).status_code == 401
    answer = client("vera").get(path)
    assert answer.status_code == 404
    assert "nothing is no workflow of Segue" in answer.text


def test_who_may_not_read_a_dag_gets_403_and_does_not_see_it_in_lists(
    client, ledger, definitions, only_reads
):
    definitions("welcome")
    definitions("secret")
    only_reads("welcome")
    viewer = client("vera")
    assert viewer.get("/segue/workflow?workflow=secret").status_code == 403
    assert viewer.get("/segue/workflow?workflow=nothing").status_code == 403
    assert viewer.get("/segue/workflow?workflow=welcome").status_code == 200
    listing = viewer.get("/segue/workflows").text
    assert "welcome" in listing
    assert "secret" not in listing
