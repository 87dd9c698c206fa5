"""Requests to any HTTP API, made to the sandbox."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from segue.channels.http import calls as http_calls
from segue.channels.http.calls import LARGEST_DOCUMENT
from segue.channels.http.request import HttpRequest
from segue.channels.http.results import LONGEST_RESULT
from segue.contracts.channel import Audience
from segue.documents import ProblemsFound, parse_document
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    SegueError,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    ONE_LINE,
    OTHER_KEY,
    closed_port,
    deliver,
    find,
    http,
    messages_of,
    variables,
    vendor,
)

CHANNELS_PAGE = Path(__file__).parents[4] / "docs" / "channels.md"
FAILING = ("reset_after_effect", "reset_mid_answer", "malformed_answer", "time_out_after_effect")
LOOK_UP = {
    "path": "/notes",
    "query": {"external_id": "{{ key }}"},
    "found": "items[?external_id == key()]",
    "results": {"id": "id", "url": "links.self"},
}


def request(**fields: object) -> HttpRequest:
    return HttpRequest.model_validate({"connection": "crm", "path": "/notes", **fields})


def askable(**look_up: object) -> HttpRequest:
    return request(
        json={"external_id": "{{ key }}", "text": "hello"},
        results={"id": "id", "url": "links.self"},
        look_up={**LOOK_UP, **look_up},
    )


def problems(**fields: object) -> dict[str, str]:
    """Return what is wrong with an action, by its place."""
    with pytest.raises(ValidationError) as raised:
        request(**fields)
    found: dict[str, str] = {}
    for details in raised.value.errors():
        error = details.get("ctx", {}).get("error")
        if isinstance(error, ProblemsFound):
            places = {
                ".".join(map(str, (*details["loc"], *at))): text for at, text in error.problems
            }
        else:
            places = {".".join(map(str, details["loc"])): str(error or details["msg"])}
        found |= places
    return found


def at(set_connection, url: str, **fields: object) -> HttpRequest:
    set_connection("elsewhere", conn_type="http", host=url, extra={"timeout": 10})
    return request(**{"connection": "elsewhere", **fields})


# ---- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_method_is_sent_as_it_is_written(sandbox: Sandbox, method: str):
    deliver(request(method=method, json={"a": "b"}))
    [received] = sandbox.messages(service="http")
    assert received.raw["method"] == method


def test_a_get_has_no_body_and_no_key_and_reads_results(sandbox: Sandbox):
    deliver(request(json={"email": "{{ contact.email }}"}, audience="team"))
    read = request(
        method="GET",
        audience="team",
        query={"email": "{{ contact.email }}"},
        results={"id": "items[0].id", "count": "length(items)"},
    )
    assert deliver(read, key=OTHER_KEY).results["count"] == "1"
    assert deliver(read, email="nobody@example.com").results == {"count": "0"}
    assert len(sandbox.messages(service="http")) == 1


@pytest.mark.parametrize(
    ("written", "sent"), [(None, "text/plain; charset=utf-8"), ("text/csv", "text/csv")]
)
def test_a_text_has_the_type_that_is_written(sandbox: Sandbox, written: str | None, sent: str):
    given = {"content_type": written} if written else {}
    deliver(request(text="{{ contact.first_name }},{{ change }}", **given))
    [received] = sandbox.messages(service="http")
    assert received.raw["headers"]["content-type"] == sent
    assert received.raw["body"] == "Ana,added"


def test_nothing_is_sent_that_is_not_written(sandbox: Sandbox):
    deliver(request(idempotency_header=None))
    [received] = sandbox.messages(service="http")
    assert (received.raw["path"], received.raw["body"]) == ("/http/notes", "")
    assert set(received.raw["headers"]) <= {
        *("accept", "accept-encoding", "authorization", "connection", "content-length"),
        *("host", "user-agent", "x-everywhere"),  # which the connection adds
    }


def test_the_key_goes_into_the_header_that_is_named(sandbox: Sandbox):
    deliver(request(idempotency_header="X-Request-Id"))
    [received] = sandbox.messages(service="http")
    assert received.raw["headers"]["x-request-id"] == KEY
    assert "idempotency-key" not in received.raw["headers"]


def test_a_path_of_the_host_is_kept(sandbox: Sandbox, set_connection):
    set_connection(
        "crm",
        conn_type="http",
        host=f"{sandbox.url}/http/v2/",
        login="anybody",
        password="sandbox",
    )
    deliver(request())
    [received] = sandbox.messages(service="http")
    assert received.raw["path"] == "/http/v2/notes"


def test_the_example_in_the_pages_works(sandbox: Sandbox, set_connection):
    """channels.md shows an action and its connection; both are used as they stand, but the port."""
    section = CHANNELS_PAGE.read_text().split("## http_request\n")[1].split("\n## ")[0]
    written = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    shown = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert written is not None
    assert shown is not None
    action = parse_document(written[1], "channels.md").data["http_request"]
    connection = json.loads(shown[1].replace("http://127.0.0.1:8090", sandbox.url))
    set_connection("crm", **connection)
    receipt = deliver(HttpRequest.model_validate(action))
    [received] = sandbox.messages(service="http")
    assert json.loads(received.raw["body"]) == {
        "contact": "c-1",
        "external_id": KEY,
        "text": "At risk: Ana",
        "tags": ["segue"],
        "pinned": True,
    }
    assert find(HttpRequest.model_validate(action), (KEY, {})) == {KEY: receipt}
    assert set(receipt.results) == {"id", "url"}


# ---- hostile contact data ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE_LINE)
def test_contact_text_is_one_segment_of_the_path(sandbox: Sandbox, name: str):
    deliver(request(path="/a/{{ contact.first_name }}/b"), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="http")
    assert unquote(received.raw["path"]) == f"/http/a/{HOSTILE[name]}/b"


@pytest.mark.parametrize("value", ["a/b", "a?x=1", "a#b", "a%2eb", "//evil.example.com", "a\\b"])
def test_no_value_makes_a_second_segment_or_a_query(set_connection, value: str):
    """The path on the wire has the slashes of the template and no others."""
    paths: list[str] = []

    def answer(received: str) -> bytes:
        paths.append(received.split()[1])
        return http("200 OK")

    with vendor(answer) as url:
        deliver(at(set_connection, url, path="/a/{{ contact.x }}/b"), x=value)
    [path] = paths
    assert (path.count("/"), "?" in path, "#" in path) == (3, False, False)
    assert unquote(path) == f"/a/{value}/b"


@pytest.mark.parametrize(
    "value",
    ["..", ".", "%2e%2e", "a/../b", "a\\..", "..;a", "a\r\nb", "a\x00b", "%00", "\x7f"],
)
def test_what_cannot_be_a_segment_is_refused_before_anything_is_sent(sandbox: Sandbox, value: str):
    with pytest.raises(ContactFailure, match=r"^path: "):
        deliver(request(path="/a/{{ contact.x }}/b"), x=value)
    assert sandbox.messages() == []


@given(st.text(min_size=1))
def test_any_value_is_one_segment_or_refused(value: str):
    """Nothing in between: what is sent decodes to the value and to nothing more."""
    try:
        path = request(path="/a/{{ contact.x }}/b").render(variables(x=value))["path"]
    except ContactFailure:
        plain = normalize("NFKC", unquote(value))
        has_controls = any(ord(char) < 32 or ord(char) == 127 for char in plain)
        assert has_controls or set(".%") & set(plain)
        return
    before, segment, after = path.removeprefix("/").split("/")
    assert (before, unquote(segment), after) == ("a", value, "b")
    assert segment.isascii()


def test_an_empty_segment_is_refused(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^path: has an empty segment"):
        deliver(request(path="/a/{{ contact.x | default('') }}/b"))


@pytest.mark.parametrize("name", ["line breaks", "right to left", "emoji"])
def test_what_a_header_cannot_carry_is_refused(sandbox: Sandbox, name: str):
    with pytest.raises(ContactFailure, match=r"^headers\.X-Name: ") as raised:
        deliver(request(headers={"X-Name": "{{ contact.x }}"}), x=HOSTILE[name])
    assert "victim" not in str(raised.value)
    assert sandbox.messages() == []


@pytest.mark.parametrize("name", ["html", "mention", "ten kilobytes", "template", "json"])
def test_other_text_arrives_byte_for_byte_in_a_header(sandbox: Sandbox, name: str):
    deliver(request(headers={"X-Name": " {{ contact.x }} "}), x=HOSTILE[name])
    [received] = sandbox.messages(service="http")
    assert received.raw["headers"]["x-name"] == HOSTILE[name]


@pytest.mark.parametrize("body", ["json", "form", "text", "query"])
def test_half_a_character_is_of_the_contact(sandbox: Sandbox, body: str):
    written = "{{ contact.x }}" if body == "text" else {"a": "{{ contact.x }}"}
    with pytest.raises(ContactFailure, match="UTF-8"):
        deliver(request(**{body: written}), x="\ud83d")
    assert sandbox.messages() == []


# ---- what is refused in a definition ----------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example.com/x",
        "//evil.example.com/x",
        "notes",
        "{{ contact.url }}",
        "/a/../b",
        "/a/%2e%2E/b",
        "/a/.",
        "/a//b",
        "/a?b=1",
        "/a#b",
        "/a b",
        "/a\\b",
        "/a\nb",
        "/a%0d%0ab",
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str):
    assert "path" in problems(path=path)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"json": {"a": "{{ nobody }}"}}, "json.a"),
        ({"json": [{"a": ["ok", "{{ contact. }}"]}]}, "json.0.a.1"),
        ({"json": {"{{ change }}": 1}}, "json.{{ change }}"),
        ({"json": {}, "form": {}}, "form"),
        ({"method": "GET", "json": {}}, "json"),
        ({"method": "HEAD"}, "method"),
        ({"content_type": "text/csv"}, "content_type"),
        ({"text": "a", "content_type": "text/csv\r\nX: y"}, "content_type"),
        ({"text": "{}", "content_type": "application/json; charset=utf-8"}, "content_type"),
        ({"text": "{}", "content_type": "application/hal+json"}, "content_type"),
        ({"headers": {"Authorization": "x"}}, "headers.Authorization"),
        ({"headers": {"cookie": "x"}}, "headers.cookie"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"a b": "x"}}, "headers.a b"),
        ({"headers": {"A\r\nB": "x"}}, "headers.A\r\nB"),
        ({"headers": {"X": "a\r\nB: c"}}, "headers.X"),
        ({"headers": {"X": "é"}}, "headers.X"),
        ({"headers": {"idempotency-key": "x"}}, "headers.idempotency-key"),
        ({"idempotency_header": "a\nb"}, "idempotency_header"),
        ({"idempotency_header": "Host"}, "idempotency_header"),
        ({"query": {"a": ["b"]}}, "query.a"),
        ({"success": "status = 'created'"}, "success"),
        ({"success": ""}, "success"),
        ({"results": {"id": "lenght(items)"}}, "results.id"),
        ({"url": "https://evil.example.com"}, "url"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(fields: dict[str, object], place: str):
    assert place in problems(**fields)


def test_a_connection_must_be_named():
    with pytest.raises(ValidationError, match="connection"):
        HttpRequest.model_validate({"path": "/notes"})


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"path": "/{{ contact.contact_id }}"}, "look_up.path", "found contact; allowed"),
        ({"query": {"q": "{{ key }}{{ results.a.id }}"}}, "look_up.query.q", "found results"),
        ({"found": "items"}, "look_up.found", "compares nothing with the delivery's key"),
        ({"found": "items[?external_id = key()]"}, "look_up.found", "at its character 20"),
        ({"results": {}}, "look_up.results", "lacks 'id'"),
        ({"path": "//a"}, "look_up.path", "empty segment"),
    ],
)
def test_a_look_up_that_cannot_tell_is_refused(fields, place: str, words: str):
    found = problems(results={"id": "id"}, look_up={**LOOK_UP, **fields})
    assert words in found[place]


def test_a_look_up_needs_a_request_that_carries_the_key():
    without = {"look_up": LOOK_UP, "idempotency_header": None}
    assert "no part of the request" in problems(**without)["look_up"]
    assert request(json={"a": "{{ key }}"}, **without).can_be_asked


def test_a_get_needs_no_look_up():
    assert "look_up" in problems(method="GET", look_up=LOOK_UP)


def test_validate_names_file_line_and_column(tmp_path: Path):
    """A mistake inside the JSON, one in JMESPath and a field that only a look-up may not use."""
    from segue.workflows.catalog import Catalog
    from segue.workflows.validation import find_problems

    for folder in ("directories", "segments", "workflows"):
        (tmp_path / folder).mkdir()
    (tmp_path / "directories/d.yaml").write_text("directory: d\nsnapshots: .\n")
    (tmp_path / "segments/s.yaml").write_text(
        "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n"
    )
    path = tmp_path / "workflows/w.yaml"
    path.write_text(
        "workflow: w\nsegment: s\nchanges: [added]\nstart: 2026-11-01\nactions:\n"
        "  - id: note\n    http_request:\n      connection: crm\n      path: /notes\n"
        "      json:\n        text: '{{ nobody }}'\n"
        "      results: {id: 'a b'}\n"
    )
    found = [(item.line, item.column, item.path) for item in find_problems(Catalog(tmp_path))]
    assert found == [
        (11, 9, "actions[0].http_request.json.text"),
        (12, 17, "actions[0].http_request.results.id"),
    ]
    assert all(item.file == str(path) for item in find_problems(Catalog(tmp_path)))


def test_unknown_fields_are_found_inside_the_json(sandbox: Sandbox):
    places = [at for at, _ in request(json={"a": [{"b": "{{ contact.x }}"}]}).templates()]
    assert ("json", "a", 0, "b") in places


@pytest.mark.parametrize(
    ("written", "read"), [({}, Audience.TEAM), ({"audience": "contact"}, Audience.CONTACT)]
)
def test_it_is_for_the_team_unless_it_says_otherwise(written, read: Audience):
    assert request(**written).addressed_to is read


# ---- what an answer means ---------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_every_2xx_is_a_success_where_nothing_is_read(set_connection, status: str):
    with vendor(http(status)) as url:
        receipt = deliver(at(set_connection, url))
    assert (receipt.external_id, receipt.results) == (None, {})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("301 Moved Permanently", ConnectionFailure),
        ("307 Temporary Redirect", ConnectionFailure),
        ("400 Bad Request", ContactFailure),
        ("401 Unauthorized", ConnectionFailure),
        ("403 Forbidden", TransientFailure),  # it says when to come back
        ("404 Not Found", UnprovenRefusal),
        ("405 Method Not Allowed", UnprovenRefusal),
        ("408 Request Timeout", TransientFailure),
        ("409 Conflict", ContactFailure),
        ("413 Content Too Large", ContactFailure),
        ("422 Unprocessable Content", ContactFailure),
        ("429 Too Many Requests", TransientFailure),
        ("500 Internal Server Error", TransientFailure),
        ("503 Service Unavailable", TransientFailure),
        ("504 Gateway Timeout", OutcomeUnknown),
    ],
)
def test_what_a_status_means(set_connection, status: str, expected: type[SegueError]):
    """A redirect leads to a port that nobody listens on: it is not followed."""
    headers = {"Location": f"http://127.0.0.1:{closed_port()}/", "Retry-After": "7"}
    with vendor(http(status, "", headers)) as url, pytest.raises(expected) as raised:
        deliver(at(set_connection, url))
    assert status[:3] in str(raised.value)
    if expected is TransientFailure:
        assert raised.value.retry_after == 7


@pytest.mark.parametrize(
    "status", ["403 Forbidden", "404 Not Found", "405 Method Not Allowed", "410 Gone"]
)
@pytest.mark.parametrize("path", ["/notes", "/contacts/{{ contact.contact_id }}"])
def test_whose_a_refusal_is_is_left_open(set_connection, status: str, path: str):
    """A path may name nobody, and a host may be wrong: the others tell."""
    with vendor(http(status)) as url, pytest.raises(UnprovenRefusal, match="; check ") as raised:
        deliver(at(set_connection, url, path=path))
    assert raised.value.answer == f"elsewhere answered {status[:3]}"


@pytest.mark.parametrize(
    "body", ['{"error": {"type": "idempotency_error"}}', '{"code": "idempotency_key_in_use"}']
)
@pytest.mark.parametrize("status", ["400 Bad Request", "409 Conflict", "422 Unprocessable"])
def test_a_key_that_the_api_knows_from_elsewhere_is_unknown(set_connection, status, body):
    with vendor(http(status, body)) as url, pytest.raises(OutcomeUnknown, match=KEY):
        deliver(at(set_connection, url))


def test_a_refusal_shows_codes_and_nothing_that_was_sent(set_connection):
    body = '{"error": {"code": "Ana", "type": "invalid_name"}, "message": "Ana is not a name"}'
    with vendor(http("422 X", body)) as url, pytest.raises(ContactFailure) as raised:
        deliver(at(set_connection, url, json={"name": "{{ contact.first_name }}"}))
    assert str(raised.value) == "elsewhere answered 422: invalid_name"


@pytest.mark.parametrize(
    ("success", "answer", "expected"),
    [
        ("status == 'created'", '{"status": "created"}', None),
        ("status == 'created'", '{"status": "refused: ana@example.com"}', ContactFailure),
        ("status == 'created'", "{}", ContactFailure),
        ("count", '{"count": 0}', None),  # as JMESPath has it
        ("items", '{"items": []}', ContactFailure),
        ("length(items) > `0`", "{}", OutcomeUnknown),
        ("status == 'created'", "", OutcomeUnknown),
        ("status == 'created'", "<html>ana@example.com", OutcomeUnknown),
        ("status == 'created'", "[" * 100_000, OutcomeUnknown),
    ],
)
def test_what_the_success_condition_makes_of_a_2xx(set_connection, success, answer, expected):
    with vendor(http("200 OK", answer)) as url:
        action = at(set_connection, url, success=success)
        if expected is None:
            deliver(action)
            return
        with pytest.raises(expected) as raised:
            deliver(action)
    assert "ana" not in str(raised.value)


def test_results_are_short_texts_and_numbers(set_connection):
    answer = {
        "text": "a",
        "number": 7,
        "share": 0.5,
        "yes": True,
        "nothing": None,
        "list": [1],
        "long": "x" * (LONGEST_RESULT + 1),
    }
    with vendor(http("200 OK", json.dumps(answer))) as url:
        receipt = deliver(at(set_connection, url, results={name: name for name in answer}))
    assert receipt.results == {"text": "a", "number": "7", "share": "0.5", "yes": "true"}


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_unknown(set_connection, packed: bool):
    """A megabyte is read at most, also of what is unpacked to more."""
    body = b'"' + b"x" * (2 * LARGEST_DOCUMENT) + b'"'
    extra = b""
    if packed:
        body, extra = gzip.compress(body), b"Content-Encoding: gzip\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + extra + f"Content-Length: {len(body)}\r\n\r\n".encode()
    with vendor(head + body) as url, pytest.raises(OutcomeUnknown, match="larger than 1000000"):
        deliver(at(set_connection, url, results={"id": "id"}))


def test_an_answer_that_never_ends_is_unknown(set_connection, monkeypatch):
    monkeypatch.setattr(http_calls, "LONGEST_ANSWER", 0.0)
    with vendor(http("200 OK", "{}")) as url, pytest.raises(OutcomeUnknown, match="lost"):
        deliver(at(set_connection, url))


def test_a_host_with_a_query_is_of_the_connection(set_connection):
    with pytest.raises(ConnectionFailure, match="write queries"):
        deliver(at(set_connection, "http://127.0.0.1/?token=x"))


@pytest.mark.parametrize("fault", ["reset", "reset_mid_answer", "malformed_answer"])
def test_a_get_whose_answer_was_lost_is_transient(sandbox: Sandbox, fault: str):
    sandbox.fault("http", fault)
    with pytest.raises(TransientFailure):
        deliver(request(method="GET", results={"count": "length(items)"}))


def test_calls_share_one_connection(sandbox: Sandbox):
    """Each answer is read to its end, so the next call does not shake hands again."""
    action = request()
    with action.connect() as sender:
        for key in ("1", "2", "3"):
            sender.send(action.render(variables()), key=key)
        pools = sender._calls._session.get_adapter(sandbox.url).poolmanager.pools
        [pool] = [pools[name] for name in pools.keys()]  # noqa: SIM118 - it is no mapping
        assert (pool.num_connections, pool.num_requests) == (1, 3)


def test_a_rate_comes_from_the_connection(sandbox: Sandbox, set_connection):
    with request().connect() as sender:
        assert sender.limits({}) == ()
    extra = {"segue_rate": "10/second"}
    set_connection("crm", conn_type="http", host=f"{sandbox.url}/http", extra=extra)
    with request().connect() as sender:
        [limit] = sender.limits({})
    assert (limit.scope, limit.count, limit.seconds) == ("crm", 10, 1.0)


# ---- after a lost answer ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAILING)
def test_sending_again_under_the_key_makes_no_second_thing(
    sandbox: Sandbox, be_patient, fault: str
):
    """The sandbox keeps keys as Stripe does."""
    action = request(json={"a": "b"}, success="status == 'created'", results={"id": "id"})
    sandbox.fault("http", fault)
    with pytest.raises(OutcomeUnknown):
        deliver(action)
    be_patient()
    assert len(messages_of(sandbox, "http")) == 1
    assert deliver(action).external_id
    assert len(sandbox.messages(service="http")) == 1


def test_the_key_with_another_body_is_unknown(sandbox: Sandbox):
    deliver(request(json={"a": "b"}))
    with pytest.raises(OutcomeUnknown, match=KEY):
        deliver(request(json={"a": "c"}))


def test_an_edited_look_up_does_not_change_where_earlier_calls_are_looked_for(sandbox: Sandbox):
    deliver(askable())
    trace = askable().trace({})
    edited = askable(path="/elsewhere")
    with edited.connect() as sender:
        assert set(sender.find({KEY: trace}, datetime.now(UTC))) == {KEY}
        with pytest.raises(OutcomeUnknown, match="no `look_up` when"):
            sender.find({KEY: {}}, datetime.now(UTC))
        with pytest.raises(OutcomeUnknown, match="cannot be read"):
            sender.find({KEY: {"look_up": '{"path": "//a"'}}, datetime.now(UTC))


def test_a_trace_is_the_definition_and_nothing_of_the_contact():
    message = askable().render(variables(first_name="Ana", email="ana@example.com"))
    trace = askable().trace(message)
    assert set(trace) == {"look_up"}
    assert json.loads(trace["look_up"]) == LOOK_UP
    assert request().trace(message) == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("200 OK", '{"items": null}'), OutcomeUnknown),
        (http("200 OK", "{}"), OutcomeUnknown),
        (http("200 OK", '{"items": []}', {"Link": '<http://a/2>; rel="next"'}), OutcomeUnknown),
        (http("200 OK", "<html>"), TransientFailure),
        (http("204 No Content"), OutcomeUnknown),
        (http("301 Moved", "", {"Location": "http://127.0.0.1:1/"}), ConnectionFailure),
        (http("400 Bad Request"), OutcomeUnknown),
        (http("401 Unauthorized"), ConnectionFailure),
        (http("403 Forbidden"), OutcomeUnknown),
        (http("404 Not Found"), UnprovenRefusal),
        (http("429 Slow"), TransientFailure),
        (http("500 Broken"), TransientFailure),
        (http("200 OK", '"' + "x" * LARGEST_DOCUMENT + '"'), OutcomeUnknown),
        (b"", TransientFailure),
    ],
)
def test_what_an_answer_to_a_look_up_means(set_connection, answer: bytes, expected):
    with vendor(answer) as url, pytest.raises(expected):
        find(at(set_connection, url, look_up=LOOK_UP), (KEY, {}))


def test_a_404_under_a_path_with_the_key_cannot_tell(set_connection):
    look_up = {"path": "/notes/{{ key }}", "found": "[@][?id]"}
    with vendor(http("404 Not Found")) as url, pytest.raises(OutcomeUnknown, match="404"):
        find(at(set_connection, url, look_up=look_up), (KEY, {}))


def test_without_a_look_up_it_cannot_be_asked():
    assert not request().can_be_asked
    assert askable().can_be_asked


@pytest.mark.parametrize(
    ("where", "written", "found"),
    [
        ("json", {"to": [{"who": "{{ contact.email }}"}]}, "json.to[0].who has contact.email"),
        ("query", {"to": "{{ contact.phone }}"}, "query.to has contact.phone"),
        ("form", {"to": "{{ contact['WorkEmail'] }}"}, "form.to has contact.WorkEmail"),
        ("text", "{{ contact.mobile_number }}", "text has contact.mobile_number"),
        ("path", "/send/{{ contact.push_token }}", "path has contact.push_token"),
        ("headers", {"X-To": "{{ contact.tel }}"}, "headers.X-To has contact.tel"),
        ("json", {"all": "{{ contact | tojson }}"}, "json.all has the contact as a whole"),
        ("text", "{% set c = contact %}{{ c.email }}", "text has the contact as a whole"),
        ("text", "{{ contact[results.a.field] }}", "text has the contact as a whole"),
    ],
)
def test_a_request_with_an_address_of_the_contact_says_who_is_written_to(where, written, found):
    """Only the team can know whether the API writes to it."""
    with pytest.raises(ValidationError) as error:
        request(**{where: written})
    [problem] = error.value.errors()
    [(at, message)] = problem["ctx"]["error"].problems
    assert at == ("audience",)
    assert message.startswith(f"is missing: {found}; say 'audience: contact'")
    for audience in ("contact", "team"):
        assert request(**{where: written}, audience=audience).addressed_to == audience


_EACH = "{% for NAME in digest.contacts[:20] %}{{ READ }}{% endfor %}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (_EACH.replace("NAME", "contact").replace("READ", "contact.email"), "contact.email"),
        (_EACH.replace("NAME", "c").replace("READ", "c['phone']"), "contact.phone"),
        (_EACH.replace("NAME", "c").replace("READ", "c | tojson"), "contacts as a whole"),
        ("{{ digest.contacts | map(attribute='email') | join(',') }}", "contacts as a whole"),
        ("{% set d = digest %}{{ d.contacts[0].email }}", "contacts as a whole"),
        ("{% for n, all in digest.contacts | groupby('email') %}{{ n }}{% endfor %}", "contacts"),
    ],
)
def test_a_digest_with_addresses_of_contacts_says_that_it_is_the_teams(text, found):
    """Whatever a loop calls its contact: a digest for the contacts themselves there is not."""
    with pytest.raises(ValidationError) as error:
        request(text=text)
    [problem] = error.value.errors()
    [(at, message)] = problem["ctx"]["error"].problems
    assert at == ("audience",)
    assert message.startswith(f"is missing: text has {found}")
    assert "say 'audience: team' if" in message
    assert "audience: contact" not in message
    assert request(text=text, audience="team").addressed_to == Audience.TEAM


@pytest.mark.parametrize(
    "text",
    [
        _EACH.replace("NAME", "contact").replace("READ", "contact.first_name"),
        _EACH.replace("NAME", "c").replace("READ", "c.change"),
        "{{ digest.count }} {{ digest.contacts | length }} {{ digest.link }}",
        "{{ contact.contact_id }} {{ contact.first_name }} {{ contact.mailing_lists }}",
        "{{ contact.cellar }} {{ contact.hotel }} {{ contact.tokens_left }} {{ change }} {{ key }}",
        "{{ results.other.email }} contact.email",
    ],
)
def test_a_request_without_an_address_is_the_teams(text):
    assert request(text=text).addressed_to == Audience.TEAM
