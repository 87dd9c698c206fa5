"""The workflows and snapshots of the scheduler tests, written before Airflow starts."""

from __future__ import annotations

from tests.airflow.world import EMAIL, SLACK, TICKET, World, contact

ASKING = ("asks_approved", "asks_rejected", "asks_late", "asks_contradicted")
BROWSING = ("browser_approves", "browser_rejects")
NAMES = (
    "conditions_hold_back",
    "guarded",
    "once",
    "late_day",
    "fresh_backfill",
    "one_fails",
    "slice_of_hundreds",
    "consent",
    "asked_again",
    "ten_days",
    *ASKING,
    *BROWSING,
    "half",
    "enrolled",
    "digests",
    "journeys",
)
SLICE = 250


def write(world: World) -> None:
    """Write all of it."""
    _conditions_hold_back(world)
    _guarded(world)
    _once(world)
    _late_day(world)
    _fresh_backfill(world)
    _failures(world)
    _consent(world)
    _asked_again(world)
    _ten_days(world)
    _asking(world)
    _half(world)
    _enrolled(world)
    _digests(world)
    _journeys(world)
    _tried_out(world)


def _conditions_hold_back(world: World) -> None:
    silver = [contact(f"cond{n}", tier="silver") for n in range(4)]
    gold = [contact(f"cond{n}", phone="" if n % 2 else "+44 20 7946 0000") for n in range(4)]
    world.snapshot("conditions_hold_back", "2026-11-01", silver)
    world.snapshot("conditions_hold_back", "2026-11-02", gold)
    after = {**SLACK, "after": "ticket"}
    world.workflow(
        "conditions_hold_back",
        [TICKET, after, EMAIL],
        conditions={"field": "phone", "is_set": True},
    )


def _guarded(world: World) -> None:
    world.snapshot("guarded", "2026-11-01", [contact("guard1", tier="silver")])
    world.snapshot("guarded", "2026-11-02", [contact("guard1")])
    world.workflow("guarded", [TICKET])  # for its directory and segment: the DAG is by hand
    (world.home / "include/workflows/guarded.yaml").unlink()


def _once(world: World) -> None:
    """Every day two more contacts turn gold: once1 and once2 on the 2nd, and so on."""
    for day in range(1, 4):
        golden = 2 * (day - 1)
        contacts = [
            contact(f"once{n}", tier="gold" if n <= golden else "silver") for n in range(1, 6)
        ]
        world.snapshot("once", f"2026-11-{day:02}", contacts)
    world.workflow("once", [TICKET, {**SLACK, "after": ["ticket"]}])


def _late_day(world: World) -> None:
    for day in (1, 2, 4):
        late_day(world, day)
    world.workflow("late_day", [SLACK])


def late_day(world: World, day: int) -> None:
    """On each day one more contact turns gold: late2 on the 2nd, late3 on the 3rd …"""
    contacts = [contact(f"late{n}", tier="gold" if n <= day else "silver") for n in range(2, 6)]
    world.snapshot("late_day", f"2026-11-{day:02}", contacts)


def _fresh_backfill(world: World) -> None:
    for day in range(1, 4):
        contacts = [contact(f"fresh{n}", tier="gold" if n <= day else "silver") for n in (2, 3)]
        world.snapshot("fresh_backfill", f"2026-11-{day:02}", contacts)
    world.workflow("fresh_backfill", [SLACK])


def _failures(world: World) -> None:
    action = {"id": "mail", "email": {**EMAIL["email"], "text": "Dear {{ contact.first_name }}"}}
    world.snapshot(
        "one_fails", "2026-11-01", [contact(f"fail{n}", tier="silver") for n in range(3)]
    )
    world.snapshot(
        "one_fails",
        "2026-11-02",
        [contact(f"fail{n}", first_name="" if n == 1 else f"Firstname-{n}") for n in range(3)],
    )
    world.workflow("one_fails", [action])
    many = range(SLICE)
    world.snapshot(
        "slice_of_hundreds", "2026-11-01", [contact(f"many{n:03}", tier="silver") for n in many]
    )
    world.snapshot(
        "slice_of_hundreds",
        "2026-11-02",
        [
            contact(
                f"many{n:03}",
                first_name="" if n == 7 else f"Firstname-{n}",
                email=f"many{n:03}@many.example.com",
            )
            for n in many
        ],
    )
    world.workflow(
        "slice_of_hundreds",
        [action],
        branches={"max": 10, "slice_size": 200},
        guard={"share": None},
    )


def _consent(world: World) -> None:
    world.snapshot("consent", "2026-11-01", [contact(f"consent{n}", tier="silver") for n in (1, 2)])
    world.snapshot(
        "consent", "2026-11-02", [contact("consent1", unsubscribed="true"), contact("consent2")]
    )
    world.workflow("consent", [EMAIL, SLACK])


def _asked_again(world: World) -> None:
    """One of two contacts has no last name, and the message needs one."""
    people = [contact("again1"), contact("again2", last_name="")]
    silver = [{**person, "tier": "silver"} for person in people]
    world.snapshot("asked_again", "2026-11-01", silver)
    world.snapshot("asked_again", "2026-11-02", people)
    text = "{{ contact.contact_id }} {{ contact.last_name }}"
    message = {"channel": "#team", "text": text}
    world.workflow("asked_again", [{**SLACK, "slack_message": message}])


def _ten_days(world: World) -> None:
    """Each day one contact turns gold, and each day's contact leaves two days later."""
    for day in range(1, 12):
        contacts = [
            contact(f"ten{n:02}", tier="gold" if n <= day < n + 2 else "silver")
            for n in range(1, 12)
        ]
        world.snapshot("ten_days", f"2026-11-{day:02}", contacts)
    world.workflow("ten_days", [TICKET], changes=["added", "removed"])


def _asking(world: World) -> None:
    """Two contacts turn gold, and one may without a question."""
    tell = {"notifier": "told.FileNotifier", "path": str(world.home / "told.txt")}
    for name in (*ASKING, *BROWSING):
        silver = [contact(f"{name}{n}", tier="silver") for n in range(2)]
        world.snapshot(name, "2026-11-01", silver)
        world.snapshot(name, "2026-11-02", [contact(f"{name}{n}") for n in range(2)])
        world.workflow(
            name,
            [TICKET, {**SLACK, "after": "ticket"}],
            guard={"at_most": 1, "deadline": "5s" if name == "asks_late" else "1h"},
            notify={
                "on_approval": {**tell, "text": "{{ task.subject }}"},
                "on_failure": {**tell, "text": "{{ dag.dag_id }} failed"},
            },
        )


def _half(world: World) -> None:
    """On the 2nd half of the rows are missing; on the 3rd only half03 has really gone."""
    everybody = [contact(f"half{n:02}") for n in range(12)]
    world.snapshot("half", "2026-11-01", everybody)
    world.snapshot("half", "2026-11-02", everybody[:6])
    world.snapshot(
        "half", "2026-11-03", [row for row in everybody if row["contact_id"] != "half03"]
    )
    kinds = ["added", "removed"]
    actions = [TICKET, {**SLACK, "after": "ticket"}]
    world.workflow("half", actions, changes=kinds, guard={"floor": 0})


def _enrolled(world: World) -> None:
    world.snapshot("enrolled", "2026-11-01", [contact(f"enrol{n}") for n in range(2)])
    world.workflow("enrolled", [SLACK], policies={"max_age": "1d"})


def _journeys(world: World) -> None:
    """Two contacts turn gold; a word follows the ticket, to those who are still gold by then."""
    people = [contact(f"journey{n}") for n in (1, 2)]
    silver = [{**person, "tier": "silver"} for person in people]
    world.snapshot("journeys", "2026-11-01", silver)
    world.snapshot("journeys", "2026-11-02", people)
    world.workflow(
        "journeys",
        [TICKET, {**SLACK, "after": "ticket", "wait": "15m"}],
        leave_when={"field": "tier", "equals": "silver"},
    )


def _digests(world: World) -> None:
    """Four contacts: digest1 has no phone, digest2 an evil name, digest3 no last name."""
    people = [contact(f"digest{n}") for n in range(4)]
    people[1]["phone"] = ""
    people[2]["first_name"] = "Firstname-<!channel> <b>&"
    people[3]["last_name"] = ""
    silver = [{**person, "tier": "silver"} for person in people]
    world.snapshot("digests", "2026-11-01", silver)
    world.snapshot("digests", "2026-11-02", people)
    digests(world, "{{ contact.last_name }}")


def digests(world: World, last_name: str) -> None:
    """Write a workflow that tells the team once per run, in Slack and by mail."""
    slack = (
        "{{ digest.count }} new <{{ digest.link }}|run>\n{% for contact in digest.contacts %}"
        f"{{{{ contact.first_name }}}} {last_name} {{{{ contact.results.ticket.url }}}}\n"
        "{% endfor %}"
    )
    mail = "<ul>{% for contact in digest.contacts %}<li>{{ contact.first_name }}</li>{% endfor %}"
    world.workflow(
        "digests",
        [
            TICKET,
            {
                "id": "tell",
                "digest": True,
                "after": "ticket",
                "slack_message": {"channel": "#team", "text": slack},
            },
            {
                "id": "list",
                "digest": True,
                "after": "tell",
                "email": {
                    "from": "shop@example.com",
                    "to": "team@example.com",
                    "subject": "{{ digest.count }} new in {{ segment }}",
                    "text": "{{ digest.contacts | map(attribute='first_name') | join(', ') }}",
                    "html": mail + "</ul>",
                },
            },
        ],
        conditions={"field": "phone", "is_set": True},
    )


def _tried_out(world: World) -> None:
    """Nothing of it is ever run: its connections are checked, and a tester gets its messages."""
    world.snapshot("tried_out", "2026-11-01", [contact("tried1"), contact("tried2", tier="silver")])
    mail = {**EMAIL["email"], "cc": "boss@example.com", "text": "{{ contact.first_name }}"}
    lost = {"id": "lost", "slack_message": {**SLACK["slack_message"], "connection": "absent"}}
    note = {"connection": "zendesk_default", "path": "/notes", "check": "/api/v2/users/me"}
    actions = [TICKET, SLACK, {"id": "mail", "after": "ticket", "email": mail}, lost]
    world.workflow(
        "tried_out",
        [*actions, {"id": "note", "http_request": note}],
        conditions={"field": "tier", "equals": "gold"},
    )
