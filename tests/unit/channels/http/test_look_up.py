"""Look-ups of requests: what is another's is never ours, and a page is not all that there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from segue.channels.http.request import HttpRequest
from segue.contracts.channel import PartlyFound, Receipt
from segue.documents import ProblemsFound
from segue.errors import OutcomeUnknown
from tests.unit.channels.support import KEY, OTHER_KEY, find, http, vendor

ISSUES = {  # as at GitHub: a list that cannot be filtered by a text of ours
    "path": "/repos/acme/crm/issues",
    "query": {"labels": "segue", "state": "all"},
    "found": "[?contains(body || '', key())]",
    "results": {"id": "number", "url": "html_url"},
}
NOTES = {
    "path": "/notes",
    "query": {"external_id": "{{ key }}"},
    "found": "items[?external_id == key()]",
    "results": {"id": "id"},
}


def request(look_up: Mapping[str, Any], **fields: Any) -> HttpRequest:
    usual = {"connection": "elsewhere", "path": "/notes", "json": {"note": "{{ key }}"}}
    return HttpRequest.model_validate({**usual, "look_up": dict(look_up), **fields})


def problem_of(look_up: Mapping[str, Any]) -> str:
    with pytest.raises(ValidationError) as raised:
        request(look_up)
    [details] = raised.value.errors()
    error = details["ctx"]["error"]
    return (
        "; ".join(text for _, text in error.problems)
        if isinstance(error, ProblemsFound)
        else str(error)
    )


@pytest.fixture
def ask(set_connection) -> Callable[..., Mapping[str, Receipt]]:
    """Ask an API that gives this answer to every question."""

    def put(look_up: Mapping[str, Any], body: Any, *keys: str, **headers: str):
        text = body if isinstance(body, str) else json.dumps(body)
        with vendor(http("200 OK", text, headers)) as url:
            set_connection("elsewhere", conn_type="http", host=url, extra={"timeout": 10})
            return find(request(look_up), *((key, {}) for key in keys or (KEY,)))

    return put


def issue(number: int, key: str = OTHER_KEY) -> dict[str, Any]:
    return {"number": number, "body": f"Call them <!-- {key} -->", "html_url": f"http://x/{number}"}


def note(number: int, key: str | None = OTHER_KEY) -> dict[str, Any]:
    return {"id": number, "external_id": key}


# ---- what is listed ---------------------------------------------------------------------------


def test_what_has_the_key_is_found_among_others(ask):
    """Its results are its own, and not those of what stands first."""
    found = ask(ISSUES, [issue(1), issue(2, KEY), issue(3)])
    assert found == {KEY: Receipt("2", "http://x/2", {"id": "2", "url": "http://x/2"})}


@pytest.mark.parametrize("others", [1, 30, 100])
def test_anothers_is_never_ours_though_the_api_ignores_the_filter(ask, others: int):
    """Nor is it the proof that ours is not there: it may be on another page."""
    with pytest.raises(OutcomeUnknown, match="nothing says that it lists everything"):
        ask(NOTES, {"items": [note(number) for number in range(others)]})


def test_an_empty_list_is_the_whole_of_it(ask):
    assert ask(NOTES, {"items": []}) == {}
    assert ask(ISSUES, []) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"items": [], "next": "https://api.example.com/notes?page=2"},
        {"items": [], "has_more": True},
        {"items": [], "nextPageToken": "abc"},
        {"items": [], "paging": {"next": {"after": "NTI1"}}},
        {"items": [], "@odata.nextLink": "https://api.example.com/?$skip=30"},
        {"items": [], "response_metadata": {"next_cursor": "dGVhbQ"}},
        {"items": [], "next-page": "2"},
        {"items": [], "LastEvaluatedKey": {"id": "x"}},
        {"items": [], "continuationToken": "abc"},
        {"items": [], "done": False, "nextRecordsUrl": "/services/data/query/01g-2000"},
        {"items": [], "isLast": False},
    ],
)
def test_an_empty_page_that_leads_on_is_not_the_whole_of_it(ask, body):
    with pytest.raises(OutcomeUnknown):
        ask(NOTES, body)


@pytest.mark.parametrize(
    "body",
    [
        {"total_count": 3, "incomplete_results": True, "items": []},  # GitHub, out of time
        {"total_count": 0, "incomplete_results": True, "items": []},
        {"items": [], "timed_out": True},
        {"items": [], "total": 5},
        {"items": [], "truncated": True},
        {"items": [], "ok": False},
        {"items": [], "error": "the backend timed out"},
        {"items": [], "meta": {"errors": {"shard": 3}}},
        {"items": [], "total": "5"},
        {"items": [], "offset": 30},
        {"items": [], "page": 2},
        {"items": [], "startAt": 50},
        {"items": [], "meta": {"current_page": 1, "total_pages": 4}},
    ],
)
def test_an_empty_answer_that_is_not_all_is_not_the_whole_of_it(ask, body):
    with pytest.raises(OutcomeUnknown):
        ask(NOTES, body)


@pytest.mark.parametrize(
    "body",
    [
        {"items": [], "next": None, "has_more": False, "meta": {"next": ""}},
        {"items": [], "total": 0, "page": 1, "per_page": 30, "incomplete_results": False},
        {"items": [], "done": True, "totalSize": 0, "ok": True, "errors": [], "error": None},
        {"items": [], "startIndex": 1, "total": "0", "offset": 0, "page": 1, "total_pages": 1},
    ],
)
def test_a_last_page_that_says_so_is(ask, body):
    assert ask(NOTES, body) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"items": None},
        {},
        {"error": "not indexed yet"},
        {"items": {"0": note(1, KEY)}},
        [],
        None,
        "text",
        {"items": [note(1, None), {}, None, 7]},
    ],
)
def test_an_answer_of_another_shape_says_nothing(ask, body):
    with pytest.raises(OutcomeUnknown):
        ask(NOTES, json.dumps(body))


@pytest.mark.parametrize(
    "found",
    ["items[?type == 'note' && external_id == key()]", "items[9:] | [?external_id == key()]"],
)
def test_what_the_definition_leaves_out_is_not_nothing(ask, found: str):
    """What an answer has beside the things that are looked at shows that it has not filtered."""
    with pytest.raises(OutcomeUnknown):
        ask({**NOTES, "found": found}, {"items": [{**note(1), "type": "call"}, note(2)]})


# ---- complete ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("complete", "body"),
    [
        ("length(items) == total", {"items": [note(1), note(2)], "total": 2}),
        ("!has_more", {"items": [note(1)], "has_more": False}),
        ("length(items) < `30`", {"items": [note(1)]}),
    ],
)
def test_a_list_that_is_whole_denies(ask, complete: str, body):
    assert ask({**NOTES, "complete": complete}, body) == {}


@pytest.mark.parametrize(
    ("complete", "body"),
    [
        ("length(items) == total", {"items": [note(1), note(2)], "total": 3}),
        ("length(items) == total", {"items": [note(1)]}),
        ("!has_more", {"items": [note(1)], "has_more": True}),
        ("length(items) < `30`", {"items": [note(number) for number in range(30)]}),
        ("total", {"items": [note(1)], "total": 1}),  # it is a number, and not true
        ("length(all) == `1`", {"items": [note(1)]}),
    ],
)
def test_a_list_that_is_not_whole_says_nothing(ask, complete: str, body):
    with pytest.raises(OutcomeUnknown):
        ask({**NOTES, "complete": complete}, body)


def test_a_further_page_goes_before_what_the_definition_calls_complete(ask):
    link = {"Link": '<http://a/2>; rel="next"'}
    with pytest.raises(OutcomeUnknown):
        ask({**ISSUES, "complete": "length(@) < `100`"}, [issue(1)], **link)


@pytest.mark.parametrize(
    "headers",
    [
        {"Link": '<http://a/2>; rel="next last"'},
        {"Link": '<http://a/1>; rel="first prev", <http://a/2>; rel="last next"'},
        {"link": "<http://a/2>; REL=Next"},
        {"X-Total-Count": "2"},
        {"X-Total": "57"},
        {"X-WP-Total": "2"},
        {"X-Pagination-Total-Count": "2"},
        {"X-Next-Page": "2"},
        {"Content-Range": "items 0-0/2"},
        {"Content-Range": "30-30/31"},
        {"Content-Range": "*/2"},
    ],
)
def test_headers_that_say_of_more_than_is_listed(ask, headers):
    with pytest.raises(OutcomeUnknown):
        ask({**ISSUES, "complete": "length(@) < `100`"}, [issue(1)], **headers)
    with pytest.raises(OutcomeUnknown):
        ask(NOTES, {"items": []}, **headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Link": '<http://a/1>; rel="first last", <http://a/next>; rel="prev"; title="next"'},
        {"X-Total-Count": "1", "X-Total-Pages": "1", "X-Next-Page": "", "X-Page": "1"},
        {"Content-Range": "0-0/1", "X-RateLimit-Total": "5000", "Content-Length-Total": "many"},
        {"Content-Range": "0-0/*"},
    ],
)
def test_headers_that_say_that_it_is_all(ask, headers):
    assert ask({**ISSUES, "complete": "length(@) < `100`"}, [issue(1)], **headers) == {}


def test_one_in_doubt_takes_nothing_from_those_that_are_found(set_connection):
    """The API filters for the one, and shows others for the other."""

    def answer(received: str) -> bytes:
        [key] = parse_qs(urlsplit(received.split()[1]).query)["external_id"]
        items = [note(7, key)] if key == KEY else [note(8, "somebody's")]
        return http("200 OK", json.dumps({"items": items}))

    with vendor(answer) as url:
        set_connection("elsewhere", conn_type="http", host=url, extra={"timeout": 10})
        with pytest.raises(PartlyFound) as raised:
            find(request(NOTES), (OTHER_KEY, {}), (KEY, {}))
    assert raised.value.found == {KEY: Receipt("7", None, {"id": "7"})}


# ---- what is refused in a definition ----------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("items", "compares nothing with the delivery's key"),
        ("items[?external_id == 'x']", "compares nothing with the delivery's key"),
        ("items[?key()]", "compares nothing with the delivery's key"),
        ("items[?key() == key()]", "compares nothing with the delivery's key"),
        ("items[?key() != 'x']", "compares nothing with the delivery's key"),
        ("items[?external_id != key()]", "compares nothing with the delivery's key"),
        ("items[?!(external_id == key())]", "compares nothing with the delivery's key"),
        ("items[?contains(key(), external_id)]", "compares nothing with the delivery's key"),
        ("items[?contains('x', key())]", "compares nothing with the delivery's key"),
        ("items[?length(key()) > `3`]", "compares nothing with the delivery's key"),
        ("items[?external_id == key() || late]", "compares nothing with the delivery's key"),
        ("length(items) > `0`", "gives no list of things"),
        ("length(items[?external_id == key()])", "gives no list of things"),
        ("items[?external_id == key()] | [0]", "gives no list of things"),
        ("contains(items[].external_id, key())", "gives no list of things"),
        ("!(items[?external_id == key()])", "gives no list of things"),
        ("items[?type == 'note'][?external_id == key()]", "filters each thing"),
        ("items[][?external_id == key()]", "filters each thing"),
        ("thing.external_id == key() && [thing]", "outside of the condition of a filter"),
        ("[?contains(body, '{{ key }}')]", "where no template is read"),
        ("items[?external_id == key('x')]", "key() takes no arguments"),
        ("items[?external_id == kee()]", "JMESPath has no function 'kee'; did you mean"),
    ],
)
def test_a_look_up_that_compares_nothing_is_refused(found: str, words: str):
    assert words in problem_of({**NOTES, "found": found})


@pytest.mark.parametrize(
    "found",
    [
        "items[?key() == external_id]",
        "items[?external_id == join('-', ['segue', key()])]",
        "items[?type == 'note' && (external_id == key() || starts_with(body, key()))]",
        "items[?contains(tags[].name, key())]",
        "items[?tags[?@ == key()]]",
        "items[?length(tags[?name == key()]) > `0`]",
        "items[?type == 'note'] | [?external_id == key()]",
    ],
)
def test_a_look_up_may_compare_in_many_ways(found: str):
    assert request({**NOTES, "found": found}).look_up.found == found


def test_a_template_in_an_expression_says_what_is_there_instead():
    assert problem_of({**NOTES, "found": "items[?a == '{{ key }}']"}).endswith("here it is key()")


def test_a_path_with_the_key_needs_no_comparison(ask):
    by_key = {"path": "/notes/{{ key }}", "found": "[@][?id]", "results": {"id": "id"}}
    assert ask(by_key, {"id": 7}) == {KEY: Receipt("7", None, {"id": "7"})}
    with pytest.raises(OutcomeUnknown):
        ask(by_key, {"status": "unknown"})


def test_a_key_is_no_part_of_the_expression(ask):
    """Whatever it is: what is compared is a value."""
    hostile = "' || `true` || '"
    assert ask(NOTES, {"items": [note(1, hostile)]}, hostile) == {
        hostile: Receipt("1", None, {"id": "1"})
    }
