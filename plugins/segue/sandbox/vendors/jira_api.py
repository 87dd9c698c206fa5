"""A look-alike of the issue part of Jira Cloud's REST API v3.

Follows these pages of https://developer.atlassian.com/cloud/jira/platform/:
    rest/v3/api-group-issues/ (create issue: 201 with id, key and self; 400 with an ErrorCollection;
    get issue), rest/v3/api-group-issue-fields/
    rest/v3/api-group-issue-properties/ (get issue property)
    rest/v3/api-group-issue-search/ (GET search/jql: jql, fields, properties, maxResults,
    nextPageToken; only bounded queries; isLast)
    rest/v3/api-group-permissions/ (mypermissions: 400 for a key that is none),
    rest/v3/api-group-myself/, rest/v3/api-group-server-info/
    apis/document/structure/ (what a document must have)
    basic-auth-for-rest-apis/ (address and API token; a wrong one is answered as anonymous: 401)
    rate-limiting/ (429, Retry-After, RateLimit-Reason)

There are the projects SEG and OPS, whose issues have the types, priorities and fields listed
below, and two fields of their own: customfield_10010 is a text, customfield_10020 an option; a
label has no space, a summary 255 characters. Creating has no idempotency.

Left out: limits that bite (ask for a fault), the delay with which a new issue is found, JQL beyond
``project = "KEY"`` and ``created >= "-Nm"``, what a found issue shows of a field beside what was
written, permissions other than those below, updating, screens and security levels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from segue.sandbox.store import Document, iso
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import basic_credentials, json_answer, json_object

SERVICE = "jira"
EMAIL_ADDRESS = "agent@example.com"
API_TOKEN = "sandbox"
ACCOUNT_ID = "5b10ac8d82e05b22cc7d4ef5"

VERSION = (1001, 0, 0)  # Jira Cloud's, always
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


def _error(status: int, *messages: str, **fields: str) -> Response:
    return json_answer({"errorMessages": list(messages), "errors": fields}, status)


def _unauthorized() -> Response:
    text = "Client must be authenticated to access this resource."
    return json_answer({"message": text, "status-code": 401}, 401)


def _limited(headers: dict[str, str]) -> Response:
    headers |= {
        "RateLimit-Reason": "jira-burst-based",
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "0",
    }
    return json_answer({"errorMessages": ["Rate limit exceeded."], "errors": {}}, 429, headers)


api = VendorApi(
    SERVICE,
    is_authentic=lambda call: basic_credentials(call.headers) == (EMAIL_ADDRESS, API_TOKEN),
    not_found=_error(404, "null for uri"),
    not_allowed=Response("", 405),
    limited=_limited,
    unauthorized=_unauthorized,
    unwell=lambda: _error(503, "Service unavailable"),
)


def _paths(resource: str) -> tuple[str, str]:
    """Return where a resource is: at the site, and behind the gateway for tokens with scopes."""
    path = f"/rest/api/3/{resource}"
    return path, f"/ex/jira/{{cloud_id}}{path}"


@api.get(*_paths("serverInfo"))
def _server_info(call: Call) -> Response:
    return json_answer(
        {
            "baseUrl": call.base_url,
            "version": ".".join(map(str, VERSION)) + "-SNAPSHOT",
            "versionNumbers": VERSION,
            "deploymentType": "Cloud",
            "buildNumber": 100_000,
            "serverTitle": "Sandbox",
        }
    )


@api.get(*_paths("myself"))
def _myself(call: Call) -> Response:
    return json_answer({"accountId": ACCOUNT_ID, "emailAddress": EMAIL_ADDRESS, "active": True})


# Creating


@api.post(*_paths("issue"))
def _create(call: Call) -> Response:
    document = json_object(call.body)
    if document is None or not isinstance(document.get("fields"), dict):
        raise Refused(_error(400, "Invalid request payload. Refer to the REST API documentation"))
    fields = document["fields"]
    problems = _problems(fields)
    properties = document.get("properties") or []
    if problems:
        raise Refused(_error(400, **problems))
    if not all(isinstance(item, dict) and {"key", "value"} <= item.keys() for item in properties):
        raise Refused(_error(400, "Invalid issue properties"))
    number = call.transaction.next_id(ISSUES)
    project = fields["project"]["key"]
    issue = {
        "id": str(10_000 + number),
        "key": f"{project}-{call.transaction.next_id(f'{ISSUES}.{project}')}",
        "created": iso(call.store.clock()),
        "fields": fields,
        "properties": {item["key"]: item["value"] for item in properties},
    }
    call.transaction.put(ISSUES, issue["id"], issue)
    call.receive(
        "issue",
        to=project,
        subject=fields["summary"],
        text=_text_of(fields.get("description")),
        fields={"issue": issue},
    )
    url = f"{call.base_url}/rest/api/3/issue/{issue['id']}"
    return json_answer({"id": issue["id"], "key": issue["key"], "self": url}, 201)


def _problems(fields: Document) -> dict[str, str]:
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


@api.get(*_paths("issue/{issue}/properties/{name}"))
def _property(call: Call) -> Response:
    issue, name = call.path_values["issue"], call.path_values["name"]
    for record in call.store.values(ISSUES):
        if issue in (record["id"], record["key"]) and name in record["properties"]:
            return json_answer({"key": name, "value": record["properties"][name]})
    return _error(404, "The property was not found.")


@api.get(*_paths("issue/{issue}"))
def _show(call: Call) -> Response:
    for record in call.store.values(ISSUES):
        if call.path_values["issue"] in (record["id"], record["key"]):
            return json_answer(_shown(record, call.base_url))
    return _error(404, "Issue does not exist or you do not have permission to see it.")


@api.get(*_paths("field"))
def _fields(call: Call) -> Response:
    fields = [
        {"id": name, "key": name, "name": name, "custom": name.startswith("customfield_")}
        for name in sorted(_CHECKS)
    ]
    return json_answer(fields)


@api.get(*_paths("search/jql"))
def _search(call: Call) -> Response:
    matches = _matches(call)
    begin = int(call.query.get("nextPageToken", "0"))
    end = begin + min(int(call.query.get("maxResults", "50")), PAGE_SIZE)
    names = call.names("properties")
    only_id = call.query.get("fields", "id") == "id"
    issues = [
        ({"id": issue["id"]} if only_id else _shown(issue, call.base_url))
        | _properties(issue, names)
        for issue in matches[begin:end]
    ]
    more = end < len(matches)
    answer = {"issues": issues, "isLast": not more}
    return json_answer({**answer, "nextPageToken": str(end)} if more else answer)


def _matches(call: Call) -> list[Document]:
    """Return the issues that a query asks for, the newest first."""
    jql = JQL.fullmatch(call.query.get("jql", ""))
    if jql is None:
        raise Refused(_error(400, "Error in the JQL Query, or it is not a bounded one."))
    if jql["project"] not in PROJECTS:
        text = f"The value '{jql['project']}' does not exist for the field 'project'."
        raise Refused(_error(400, text))
    since = iso(call.store.clock() - timedelta(minutes=int(jql["minutes"])))
    matches = [
        issue
        for issue in call.store.values(ISSUES)
        if issue["fields"]["project"]["key"] == jql["project"] and issue["created"] >= since
    ]
    return sorted(matches, key=lambda one: (one["created"], int(one["id"])), reverse=True)


def _shown(issue: Document, base_url: str) -> Document:
    return {
        "id": issue["id"],
        "key": issue["key"],
        "self": f"{base_url}/rest/api/3/issue/{issue['id']}",
        "fields": {**issue["fields"], "created": issue["created"].replace("Z", "+0000")},
    }


def _properties(issue: Document, names: list[str]) -> Document:
    """Return the properties asked for, and nothing where none were."""
    properties = {name: issue["properties"][name] for name in names if name in issue["properties"]}
    return {"properties": properties} if names else {}


@api.get(*_paths("mypermissions"))
def _permissions(call: Call) -> Response:
    project = call.query.get("projectKey")
    if project not in PROJECTS:
        text = f"No project could be found with key '{project}'."
        raise Refused(_error(404, text))
    names = call.names("permissions")
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
