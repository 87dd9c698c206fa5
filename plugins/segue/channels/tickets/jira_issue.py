"""Jira Cloud issues, through the REST API v3 and the HTTP provider's hook.

Followed:
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/ (create issue:
    fields, properties; 400 with errorMessages and errors by field)
    https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ (ADF)
    https://developer.atlassian.com/cloud/jira/platform/jira-entity-properties/
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/ (search/jql:
    nextPageToken, properties)
    https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/ (what was written is
    found "within seconds", at times minutes)
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/
    (mypermissions)
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/ (429, Retry-After,
    RateLimit-Reason; API tokens count under unpublished burst limits)
    https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-server-info/ (baseUrl)
    https://support.atlassian.com/user-management/docs/manage-api-tokens-for-service-accounts/
    (scopes, a year at most; api.atlassian.com/ex/jira/{cloudId}) and
    create-oauth-2-0-credential-for-service-accounts/ beside it (client credentials; an hour), both
    read in November 2026

An entity property can be searched by JQL only where an app has declared it, so the issues of the
project that were created since are listed with their property, which needs no app.

The connection is of type Jira or HTTP: host ``https://SITE.atlassian.net``, login the user's
address, password an API token. A token with scopes, which is all that a service account has, works
under ``https://api.atlassian.com/ex/jira/CLOUD_ID``; ``oauth2`` in the extra does there, too. The
user must be able to browse the project, and to see issues of every security level in it. The extra
may give ``segue_rate``, and ``site``, for links to issues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from datetime import UTC, datetime
from math import ceil
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from segue.channels.airflow_connections import find_connection
from segue.channels.http.fields import Json, none_of
from segue.channels.http.sender import HttpSender
from segue.channels.look_ups import look_from
from segue.channels.tickets.base import PlacedTicket, receipt_of
from segue.contracts.channel import Finding, Receipt, Tried
from segue.contracts.templates import Line, Text
from segue.documents import Items
from segue.errors import ConnectionFailure, OutcomeUnknown

RATE = "5/second"  # Atlassian publishes none for API tokens; its own 429 says when it is too much
SITE = "site"  # the key in a connection's extra
PROPERTY = "segue.delivery"  # the entity property that carries the key
PAGE_SIZE, LAST_PAGE = 100, 100  # of a look-up
OWN_FIELDS = frozenset(
    {"project", "issuetype", "summary", "description", "priority", "labels", "assignee", "duedate"}
)

_GATEWAY = re.compile(r"/ex/jira/[^/]+$")  # its URLs are for programs alone
_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")

ProjectKey = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class JiraIssue(PlacedTicket):
    """Create an issue in a project of Jira Cloud, for the team.

    ``project`` is its key, ``issue_type`` and ``priority`` are names as Jira shows them,
    ``assignee`` is an account id. ``description`` is plain text: blank lines separate paragraphs,
    and no text of a contact is markup. ``fields`` gives any further field by its id, in the shape
    that Jira wants: ``customfield_10020: {value: "{{ contact.tier }}"}``. If the reporter or a
    watcher is the contact, Jira writes to them: say ``audience: contact``.

    A summary has up to 255 characters, a label no space. Creating is not idempotent: the delivery's
    key goes with the issue as the entity property ``segue.delivery``.

    A delivery is doubtful when the answer was lost. The issues that were created in the project
    since are then listed, and their property compared; because a new issue may take minutes to be
    found, nobody concludes that it is missing before ten. *Uncertain* is what is left: the user may
    not browse the project, or more than 10,000 issues were created since. An issue that somebody
    has deleted, or moved to another project, is created again.
    """

    name: ClassVar[str] = "jira_issue"
    place: ClassVar[str] = "project"
    longest_call: ClassVar[float] = 600.0  # until what was created is surely found

    connection: str = "jira_default"
    project: ProjectKey
    issue_type: str = "Task"
    summary: Line
    description: Text | None = None
    priority: str | None = None
    labels: Items[Line] = ()
    assignee: str | None = None
    due_date: Line | None = None  # 2026-11-22
    fields: Annotated[dict[str, Json], AfterValidator(none_of(OWN_FIELDS))] = {}  # noqa: RUF012

    def connect(self) -> JiraIssues:
        """Open a session; nothing is sent yet."""
        sender = JiraIssues.open(self, "Jira", RATE, _codes, own=(SITE,))
        sender.site = site_of(self.connection)
        return sender


class JiraIssues(HttpSender):
    """An open connection to Jira; ``site`` is where people see its issues, once that is known."""

    site: str | None = None

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one issue, once it is known where it will be seen."""
        self._site_address()
        number, issue_key = self._calls.create(
            "/rest/api/3/issue",
            issue_of(message, key),
            read=lambda answer: (str(int(answer["id"])), str(answer["key"])),
        )
        return self._receipt(number, issue_key)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """List the issues created in each project since, and compare their properties."""
        begin = look_from(since)
        receipts: dict[str, Receipt] = {}
        for project in sorted({trace["project"] for trace in traces.values()}):
            keys = {key for key, trace in traces.items() if trace["project"] == project}
            for number, issue_key, note in self._created_since(project, begin):
                if note in keys:
                    receipts[note] = self._receipt(number, issue_key)
            if keys - receipts.keys():
                self._require_sight_of(project)
        return receipts

    def check(self, needs: Set[str]) -> Finding:
        """Ask who the connection's user is, what it may do in each project, and for the site."""
        self._site_address()
        who = self._calls.ask("/rest/api/3/myself", read=lambda answer, _: str(answer["accountId"]))
        unseen_projects = []
        for project in sorted(needs):
            if not self._may(project, "CREATE_ISSUES"):
                raise ConnectionFailure(f"Jira's user {who} may not create issues in {project}")
            if not self._may(project, "BROWSE_PROJECTS"):
                unseen_projects.append(project)
        if not unseen_projects:
            return Finding(Tried.OK, f"the user {who}")
        cost = "issues in doubt cannot be looked up there"
        names = ", ".join(unseen_projects)
        return Finding(Tried.LIMITED, f"the user {who} may not browse {names}; {cost}")

    def _created_since(self, project: str, begin: datetime) -> Iterator[tuple[str, str, str]]:
        """Yield id, key and the delivery's key (or nothing) of each issue created since ``begin``.

        In minutes ago, because JQL reads an instant in the time zone of the user.
        """
        minutes = ceil((datetime.now(UTC) - begin).total_seconds() / 60) + 1
        query = {
            "jql": f'project = "{project}" AND created >= "-{minutes}m" ORDER BY created DESC',
            "fields": "created",
            "properties": PROPERTY,
            "maxResults": str(PAGE_SIZE),
        }
        for _ in range(LAST_PAGE):
            issues, token = self._calls.ask("/rest/api/3/search/jql", query, read=_read_page)
            yield from issues
            if token is None:
                return
            query = {**query, "nextPageToken": token}
        raise OutcomeUnknown(
            f"more than {LAST_PAGE * PAGE_SIZE} issues were created in {project} since; "
            "they are not all looked through"
        )

    def _require_sight_of(self, project: str) -> None:
        """Raise OutcomeUnknown where the list leaves out what the user may not see."""
        if not self._may(project, "BROWSE_PROJECTS"):
            raise OutcomeUnknown(
                f"Jira lists no such issue, but the connection's user may not browse {project}"
            )

    def _may(self, project: str, permission: str) -> bool:
        """Tell whether the connection's user has a permission in a project."""
        has_it = self._calls.ask(
            "/rest/api/3/mypermissions",
            {"projectKey": project, "permissions": permission},
            read=lambda answer, _: answer["permissions"][permission]["havePermission"],
        )
        return has_it is True

    def _site_address(self) -> str:
        """Return the address of the site; behind Atlassian's gateway it is asked for, once."""
        if self.site is None:
            base_url = self._calls.base_url
            self.site = self._ask_for_site() if _GATEWAY.search(base_url) else base_url
        return self.site

    def _ask_for_site(self) -> str:
        def read(answer: Any, _: bool) -> str:
            return _address(answer["baseUrl"])

        try:
            return self._calls.ask("/rest/api/3/serverInfo", read=read)
        except OutcomeUnknown as error:
            raise ConnectionFailure(
                f"{error}; links to issues need the site: give {SITE!r}, such as "
                "https://SITE.atlassian.net, in the connection's extra"
            ) from None

    def _receipt(self, number: str, issue_key: str) -> Receipt:
        return receipt_of(number, f"{self._site_address()}/browse/{issue_key}", key=issue_key)


def site_of(connection: str) -> str | None:
    """Return the site that a connection's extra gives; None where it gives none."""
    site = find_connection(connection).extra_dejson.get(SITE)
    try:
        return None if site is None else _address(site)
    except ValueError:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: {SITE} in its extra is no address such as "
            "https://SITE.atlassian.net"
        ) from None


def _address(url: object) -> str:
    """Return an address without a slash at its end; raise ValueError where it is none."""
    if not isinstance(url, str) or not _ADDRESS.fullmatch(url):
        raise ValueError("no address")
    return url.rstrip("/")


def _read_page(answer: Any, _: bool) -> tuple[list[tuple[str, str, str]], str | None]:
    """Read one page of a list, and the token of the next one."""
    issues = [
        (
            str(int(issue["id"])),
            str(issue["key"]),
            str((issue["properties"].get(PROPERTY) or {}).get("key", "")),
        )
        for issue in answer["issues"]
    ]
    token = answer.get("nextPageToken")
    return issues, str(token) if token else None


def issue_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as Jira's IssueUpdateDetails."""
    fields: dict[str, Any] = {
        **message["fields"],
        "project": {"key": message["project"]},
        "issuetype": {"name": message["issue_type"]},
        "summary": message["summary"],
    }
    if "description" in message:
        fields["description"] = document_of(message["description"])
    if "priority" in message:
        fields["priority"] = {"name": message["priority"]}
    if message["labels"]:
        fields["labels"] = list(message["labels"])
    if "assignee" in message:
        fields["assignee"] = {"id": message["assignee"]}
    if "due_date" in message:
        fields["duedate"] = message["due_date"]
    return {"fields": fields, "properties": [{"key": PROPERTY, "value": {"key": key}}]}


def document_of(text: str) -> dict[str, Any]:
    """Return a text in the Atlassian Document Format: paragraphs, and nothing that is markup."""
    paragraphs = [part for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
    return {
        "version": 1,
        "type": "doc",
        "content": [{"type": "paragraph", "content": _lines(part)} for part in paragraphs],
    }


def _lines(paragraph: str) -> list[dict[str, str]]:
    """Return a paragraph's lines with breaks between them; ADF knows no empty text."""
    nodes: list[dict[str, str]] = []
    for number, line in enumerate(paragraph.strip("\n").split("\n")):
        nodes += [{"type": "hardBreak"}] if number else []
        nodes += [{"type": "text", "text": line}] if line else []
    return nodes


def _codes(answer: Any) -> Iterator[object]:
    """Yield the names of the fields at fault; the texts may quote what was sent."""
    yield from answer.get("errors") or {}
