"""A look-alike of the issue part of Jira Cloud's REST API v3.

Follows these pages of https://developer.atlassian.com/cloud/jira/platform/:
    rest/v3/api-group-issues/ (create issue: 201 with id, key and self; 400 with an ErrorCollection)
    rest/v3/api-group-issue-properties/ (get issue property)
    rest/v3/api-group-issue-search/ (GET search/jql: jql, fields, properties, maxResults,
    nextPageToken; only bounded queries; isLast)
    rest/v3/api-group-permissions/ (mypermissions: 400 for a key that is none),
    rest/v3/api-group-myself/
    apis/document/structure/ (what a document must have)
    basic-auth-for-rest-apis/ (address and API token; a wrong one is answered as anonymous: 401)
    rate-limiting/ (429, Retry-After, RateLimit-Reason)

There are the projects SEG and OPS, whose issues have the types, priorities and fields listed
below, and two fields of their own: customfield_10010 is a text, customfield_10020 an option; a
label has no space, a summary 255 characters. Creating has no idempotency.

Left out: limits that bite (ask for a fault), the delay with which a new issue is found, JQL beyond
``project = "KEY"`` and ``created >= "-Nm"``, fields of a found issue other than ``created``,
permissions other than those below, updating, screens and security levels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Store, Transaction, iso
from segue.sandbox.wire import (
    ReceivedRequest,
    Refused,
    answer_refusals,
    basic_credentials,
    json_answer,
    json_object,
    mount_url,
    read_request,
    vendor_app,
)

SERVICE = "jira"
EMAIL_ADDRESS = "agent@example.com"
API_TOKEN = "sandbox"
ACCOUNT_ID = "5b10ac8d82e05b22cc7d4ef5"

PROJECTS = ("OPS", "SEG")
ISSUE_TYPES = ("Bug", "Story", "Task")
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
REQUIRED = ("project", "issuetype", "summary")
PERMISSIONS = {  # of a project, with their ids
    "BROWSE_PROJECTS": "10",
    "CREATE_ISSUES": "11",
    "EDIT_ISSUES": "12",
}
SUMMARY_LENGTH, PAGE_SIZE = 255, 5000
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
JQL = re.compile(
    r'project = "(?P<project>\w+)" AND created >= "-(?P<minutes>\d+)m"( ORDER BY created DESC)?'
)

ISSUES = "jira.issues"


def create_app(store: Store) -> FastAPI:
    """Serve ``/rest/api/3``."""
    app = vendor_app()
    answer_refusals(app, not_found=_error(404, "null for uri"), not_allowed=Response("", 405))

    @app.post("/rest/api/3/issue")
    async def create(request: Request) -> Response:
        return _create(store, await _authenticated(request), mount_url(request))

    @app.get("/rest/api/3/issue/{issue}/properties/{name}")
    async def issue_property(issue: str, name: str, request: Request) -> Response:
        await _authenticated(request)
        return _property(store, issue, name)

    @app.get("/rest/api/3/search/jql")
    async def search(request: Request) -> Response:
        return _search(store, await _authenticated(request), mount_url(request))

    @app.get("/rest/api/3/mypermissions")
    async def permissions(request: Request) -> Response:
        return _permissions(await _authenticated(request))

    @app.get("/rest/api/3/myself")
    async def myself(request: Request) -> Response:
        await _authenticated(request)
        return json_answer({"accountId": ACCOUNT_ID, "emailAddress": EMAIL_ADDRESS, "active": True})

    return app


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request the way Jira does."""
    if fault.fault is FaultKind.RATE_LIMITED:
        headers = {
            "Retry-After": str(fault.retry_after),
            "RateLimit-Reason": "jira-burst-based",
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": "0",
        }
        return json_answer({"errorMessages": ["Rate limit exceeded."], "errors": {}}, 429, headers)
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _unauthorized()
    return _error(503, "Service unavailable")


async def _authenticated(request: Request) -> ReceivedRequest:
    call = await read_request(request)
    if basic_credentials(call.headers) != (EMAIL_ADDRESS, API_TOKEN):
        raise Refused(_unauthorized())
    return call


def _unauthorized() -> Response:
    text = "Client must be authenticated to access this resource."
    return json_answer({"message": text, "status-code": 401}, 401)


def _error(status: int, *messages: str, **fields: str) -> Response:
    return json_answer({"errorMessages": list(messages), "errors": fields}, status)


# Creating


def _create(store: Store, request: ReceivedRequest, base_url: str) -> Response:
    document = json_object(request.body)
    if document is None or not isinstance(document.get("fields"), dict):
        raise Refused(_error(400, "Invalid request payload. Refer to the REST API documentation"))
    fields = document["fields"]
    problems = _problems(fields)
    properties = document.get("properties") or []
    if problems:
        raise Refused(_error(400, **problems))
    if not all(isinstance(item, dict) and {"key", "value"} <= item.keys() for item in properties):
        raise Refused(_error(400, "Invalid issue properties"))
    with store.transaction() as transaction:
        number = transaction.next_id(ISSUES)
        project = fields["project"]["key"]
        issue = {
            "id": str(10_000 + number),
            "key": f"{project}-{_next_in(transaction, project)}",
            "created": iso(store.clock()),
            "fields": fields,
            "properties": {item["key"]: item["value"] for item in properties},
        }
        transaction.put(ISSUES, issue["id"], issue)
        transaction.receive(
            SERVICE,
            "issue",
            to=project,
            subject=fields["summary"],
            text=_text_of(fields.get("description")),
            fields={"issue": issue},
            raw=request.raw(),
        )
    url = f"{base_url}/rest/api/3/issue/{issue['id']}"
    return json_answer({"id": issue["id"], "key": issue["key"], "self": url}, 201)


def _next_in(transaction: Transaction, project: str) -> int:
    return transaction.next_id(f"{ISSUES}.{project}")


def _problems(fields: Document) -> dict[str, str]:
    """Return what is wrong, by field."""
    unknown = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
    problems = {name: unknown.format(name) for name in sorted(fields.keys() - _CHECKS.keys())}
    for name, (is_valid, text) in _CHECKS.items():
        if (name in fields or name in REQUIRED) and not is_valid(fields.get(name)):
            problems[name] = text
    return problems


def _is_summary(value: Any) -> bool:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not {"\n", "\r"} & set(value)
        and len(value) <= SUMMARY_LENGTH
    )


def _is_labels(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and " " not in one for one in value)


def _named(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _is_document(value: Any) -> bool:
    """Tell whether a value is a document of paragraphs, texts and breaks."""
    return (
        isinstance(value, dict)
        and (value.get("version"), value.get("type")) == (1, "doc")
        and isinstance(value.get("content"), list)
        and all(_is_paragraph(node) for node in value["content"])
    )


def _is_paragraph(node: Any) -> bool:
    return (
        isinstance(node, dict)
        and node.get("type") == "paragraph"
        and all(
            isinstance(inner, dict)
            and (
                inner.get("type") == "hardBreak" or (inner.get("type") == "text" and inner["text"])
            )
            for inner in node.get("content", [])
        )
    )


def _text_of(document: Any) -> str:
    if document is None:
        return ""
    return "\n\n".join(
        "".join(
            "\n" if inner["type"] == "hardBreak" else inner["text"] for inner in node["content"]
        )
        for node in document["content"]
    )


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "project": (lambda value: _named(value, "key") in PROJECTS, "valid project is required"),
    "issuetype": (
        lambda value: _named(value, "name") in ISSUE_TYPES,
        "Specify a valid issue type",
    ),
    "summary": (
        _is_summary,
        f"You must specify a summary of the issue, of one line and {SUMMARY_LENGTH} characters.",
    ),
    "description": (_is_document, "Operation value must be an Atlassian Document"),
    "priority": (
        lambda value: _named(value, "name") in PRIORITIES,
        "The priority selected is invalid.",
    ),
    "labels": (_is_labels, "The label can't contain spaces."),
    "assignee": (
        lambda value: _named(value, "id") == ACCOUNT_ID,
        "User does not exist or cannot be assigned issues.",
    ),
    "reporter": (lambda value: _named(value, "id") == ACCOUNT_ID, "Specify a valid reporter."),
    "duedate": (
        lambda value: isinstance(value, str) and DATE.fullmatch(value) is not None,
        "Error parsing date string: use yyyy-MM-dd",
    ),
    "customfield_10010": (
        lambda value: isinstance(value, str),
        "Operation value must be a string",
    ),
    "customfield_10020": (
        lambda value: bool(_named(value, "value")),
        "Specify a valid 'id' or 'name' for the option",
    ),
}


# Reading


def _property(store: Store, issue: str, name: str) -> Response:
    for record in store.values(ISSUES):
        if issue in (record["id"], record["key"]) and name in record["properties"]:
            return json_answer({"key": name, "value": record["properties"][name]})
    return _error(404, "The property was not found.")


def _search(store: Store, request: ReceivedRequest, base_url: str) -> Response:
    jql = JQL.fullmatch(request.query.get("jql", ""))
    if jql is None:
        raise Refused(_error(400, "Error in the JQL Query, or it is not a bounded one."))
    if jql["project"] not in PROJECTS:
        text = f"The value '{jql['project']}' does not exist for the field 'project'."
        raise Refused(_error(400, text))
    since = iso(store.clock() - timedelta(minutes=int(jql["minutes"])))
    matches = [
        issue
        for issue in store.values(ISSUES)
        if issue["fields"]["project"]["key"] == jql["project"] and issue["created"] >= since
    ]
    matches.sort(key=lambda issue: (issue["created"], int(issue["id"])), reverse=True)
    size = min(int(request.query.get("maxResults", "50")), PAGE_SIZE)
    begin = int(request.query.get("nextPageToken", "0"))
    on_page = matches[begin : begin + size]
    names = [name for name in request.query.get("properties", "").split(",") if name]
    only_id = request.query.get("fields", "id") == "id"
    more = begin + size < len(matches)
    issues = [
        ({"id": issue["id"]} if only_id else _shown(issue, base_url)) | _properties(issue, names)
        for issue in on_page
    ]
    answer = {"issues": issues, "isLast": not more}
    return json_answer({**answer, "nextPageToken": str(begin + size)} if more else answer)


def _shown(issue: Document, base_url: str) -> Document:
    return {
        "id": issue["id"],
        "key": issue["key"],
        "self": f"{base_url}/rest/api/3/issue/{issue['id']}",
        "fields": {"created": issue["created"]},
    }


def _properties(issue: Document, names: list[str]) -> Document:
    """Return the properties asked for, and nothing where none were."""
    properties = {name: issue["properties"][name] for name in names if name in issue["properties"]}
    return {"properties": properties} if names else {}


def _permissions(request: ReceivedRequest) -> Response:
    project = request.query.get("projectKey")
    if project not in PROJECTS:
        text = f"No project could be found with key '{project}'."
        raise Refused(_error(404, text))
    names = [name for name in request.query.get("permissions", "").split(",") if name]
    if not names:
        raise Refused(_error(400, "The 'permissions' query parameter is required."))
    unknown = {name: "Unrecognized permission" for name in names if name not in PERMISSIONS}
    if unknown:
        raise Refused(_error(400, **unknown))
    permissions = {
        name: {
            "id": PERMISSIONS[name],
            "key": name,
            "name": name.replace("_", " ").title(),
            "type": "PROJECT",
            "havePermission": True,
        }
        for name in names
    }
    return json_answer({"permissions": permissions})
