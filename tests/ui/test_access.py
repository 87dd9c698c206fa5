"""Who may see what: every route without a login, and each role of the simple auth manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute


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
