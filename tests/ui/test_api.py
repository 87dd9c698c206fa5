"""The JSON API: the pages' facts and doors for programs, under the same rights."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segue.ledger import Ledger
from segue.ledger.schema import runs
from segue.ledger.states import State
from tests.ui.conftest import USERS
from tests.ui.filled import record, settle

V1 = "/segue/api/v1"


@pytest.fixture
def filled(ledger: Ledger, definitions) -> Ledger:
    definitions("welcome")
    definitions("other")
    record(ledger, "welcome", "run", 1, "ann", "bob", "carl")
    settle(ledger, "ann", State.DELIVERED)
    settle(ledger, "bob", State.FAILED, reason="400: no")
    settle(ledger, "carl", State.UNCERTAIN)
    return ledger


def bearer(name: str) -> dict[str, str]:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username=name, role=USERS[name])
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


def test_workflows_are_listed_with_their_outcomes(client, filled, only_reads):
    found = client("vera").get(f"{V1}/workflows").json()
    assert [item["workflow"] for item in found["items"]] == ["other", "welcome"]
    assert found["items"][1]["outcomes"] == {"delivered": 1, "failed": 1, "uncertain": 1}
    assert found["total_entries"] == 2
    only_reads("other")
    assert client("vera").get(f"{V1}/workflows").json()["total_entries"] == 1
    answer = client("vera").get(f"{V1}/workflows/welcome")
    assert (answer.status_code, answer.json()["title"]) == (403, "You may not see this")


def test_a_token_in_the_header_is_a_login_too(client, filled):
    answer = client(None).get(f"{V1}/workflows/welcome", headers=bearer("vera"))
    assert answer.json()["failed"] == 1


def test_a_run_s_contacts_and_deliveries_are_paged(client, filled):
    vera = client("vera")
    found = vera.get(f"{V1}/workflows/welcome/changes?run=run&limit=2&offset=1").json()
    assert [item["contact_id"] for item in found["items"]] == ["bob", "carl"]
    assert found["total_entries"] == 3
    assert found["items"][0]["deliveries"][0]["reason"] == "400: no"
    found = vera.get(f"{V1}/workflows/welcome/deliveries?state=uncertain&limit=1").json()
    assert [item["contact_id"] for item in found["items"]] == ["carl"]
    rest = vera.get(
        f"{V1}/workflows/welcome/deliveries", params={"state": "uncertain", "before": found["next"]}
    )
    assert rest.json() == {"items": [], "next": None}
    (row,) = filled.queries.list_deliveries(contact_id="ann")
    one = vera.get(f"{V1}/workflows/welcome/deliveries/{row.key}").json()
    assert one["outcome"] == "delivered"
    assert vera.get(f"{V1}/workflows/other/deliveries/{row.key}").status_code == 404
    assert vera.get(f"{V1}/workflows/welcome/runs").json()["items"][0]["run_id"] == "run"


def test_runs_of_one_instant_are_all_on_some_page(client, ledger, definitions):
    """A backfill records several at a time."""
    definitions("welcome")
    for number in range(5):
        record(ledger, "welcome", f"run{number}", number + 1, f"c{number}")
    with ledger.engine.begin() as connection:
        connection.execute(runs.update().values(recorded_at=datetime(2026, 11, 30, tzinfo=UTC)))
    names, before = [], ""
    while before is not None:
        page = client("vera").get(
            f"{V1}/workflows/welcome/runs", params={"limit": 2, "before": before}
        )
        names += [item["run_id"] for item in page.json()["items"]]
        before = page.json()["next"]
    assert names == ["run4", "run3", "run2", "run1", "run0"]
    for before, number in (("2026-11-30T00:00:00Z", 0), ("2026-11-30T02:00:01+02:00", 5)):
        path = f"{V1}/workflows/welcome/runs"
        page = client("vera").get(path, params={"before": before}).json()
        assert len(page["items"]) == number
    for wrong in ("2026", "-1", "2026-11-30T00:00:00", "2026-11-30T00:00:00Z|"):
        path = f"{V1}/workflows/welcome/runs"
        assert client("vera").get(path, params={"before": wrong}).status_code == 422, wrong


def test_what_changes_something_takes_a_token_and_the_right(client, filled):
    path = f"{V1}/workflows/welcome/retry"
    assert client("una").post(path, json={}).status_code == 403  # a cookie alone
    assert client(None).post(path, json={}, headers=bearer("vera")).status_code == 403
    assert filled.people.list_requests() == []
    answer = client(None).post(path, json={"error": "400"}, headers=bearer("una"))
    assert answer.status_code == 202
    (request,) = filled.people.open_requests()
    assert (request.id, request.requested_by) == (answer.json()["request"], "una")
    listed = client("vera").get(f"{V1}/requests").json()["items"]
    assert [(item["kind"], item["requested_by"]) for item in listed] == [("retry", "una")]


def test_each_wish_goes_through_the_same_door(client, filled):
    def ask(what: str, **body):
        path = f"{V1}/workflows/welcome/{what}"
        return client(None).post(path, json=body, headers=bearer("una"))

    assert ask("settle", settlement="delivered").status_code == 202
    assert ask("stop", reason="why").json() == {"done": True}
    assert ask("stop").json() == {"done": False}
    assert filled.people.stopped("welcome").reason == "why"
    assert ask("go").json() == {"done": True}
    assert ask("suppress", contact="bob").json() == {"done": True}
    assert ask("suppress", contact="stranger").status_code == 404
    assert ask("retry", nonsense=1).status_code == 422
    assert ask("retry", action="none").status_code == 409
    assert [item.kind for item in filled.people.list_requests()] == [
        "settle",
        "stop",
        "stop",
        "go",
        "suppress",
    ]


def test_the_description_is_complete_and_needs_a_login(client, filled):
    path = f"{V1}/openapi.json"
    assert client(None).get(path).status_code == 401
    found = client("vera").get(path).json()
    assert found["openapi"].startswith("3.")
    assert set(found["paths"]) == {
        "/api/v1/requests",
        "/api/v1/workflows",
        *(
            f"/api/v1/workflows/{{workflow}}{rest}"
            for rest in (
                *("", "/changes", "/deliveries", "/deliveries/{key}", "/runs"),
                *("/retry", "/settle", "/stop", "/go", "/suppress"),
            )
        ),
    }
    assert found["servers"] == [{"url": "/segue"}]


def test_an_error_is_json(client, filled):
    answer = client("vera").get(f"{V1}/workflows/nothing")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("nothing is no workflow of Segue")
    assert client(None).get(f"{V1}/workflows").json()["title"] == "You are not signed in"


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("settle", {"settlement": "delivered", "keys": []}),
        ("settle", {"settlement": "not_delivered", "action": ""}),
        ("retry", {"keys": []}),
        ("retry", {"error": ""}),
        ("retry", {"error": "  "}),
        ("retry", {"action": ""}),
        ("retry", {"contact": ""}),
    ],
)
def test_a_part_of_a_request_that_is_empty_does_not_mean_everything(client, filled, path, wish):
    """As a program sends it whose own list of keys came out empty."""
    answer = client(None).post(f"{V1}/workflows/welcome/{path}", json=wish, headers=bearer("una"))
    assert answer.status_code == 422, answer.text
    assert filled.people.list_requests() == []
