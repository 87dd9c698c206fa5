"""The definition of a workflow: which changes of which segment lead to which actions, and when."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from segue.contracts.languages import Languages
from segue.cron import ON_SNAPSHOT, CronOrSnapshot, Start, start_instant
from segue.documents import Definition, Items, Location, Name, ProblemsFound, Share
from segue.durations import Duration, DurationField, parse_duration
from segue.hints import did_you_mean
from segue.segments.conditions.inspection import leaves
from segue.segments.conditions.nodes import Condition, SegmentLeaf, SubscriptionLeaf
from segue.segments.conditions.schema import WorkflowConditionField
from segue.workflows.airflow_settings import MOVED, ActionSettings, WorkflowSettings
from segue.workflows.examples import WorkflowExample, example_problems
from segue.workflows.times_of_day import PaceField, QuietHours, WaitField

WrittenKind = Literal["added", "removed", "opted_in", "opted_out"]

LOADS = ("snapshot", "none")
RESERVED_ACTIONS = frozenset({"load_contact_details", "conditions"})
# a digest's task stands beside these, and not in the group ``contact``
RESERVED_DIGESTS = frozenset({"wait_for_snapshot", "detect_changes", "guard", "contact", "report"})
_CAP = re.compile(r"([1-9][0-9]{0,3}) per (day|week)")
_DAY = timedelta(days=1)


def _not_reserved(name: str) -> str:
    if name.startswith("segue_"):
        raise ValueError(f"{name!r}: names that begin with segue_ are kept for Segue's own DAGs")
    return name


def _cap(value: object) -> tuple[int, timedelta]:
    match = _CAP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"found {value!r}; allowed: a number per day or week, such as 2 per week")
    return int(match[1]), _DAY if match[2] == "day" else 7 * _DAY


def _ids(value: object) -> object:
    return (value,) if isinstance(value, str) else value


# beside the channel
ACTION_KEYS = {"id", "after", "only", "wait", "if", "pace", "digest", "languages", "airflow"}


class Action(Definition):
    """One thing a workflow does for a contact, through a channel.

    In YAML the channel's name is a key of the action; here it is ``channel``, and what stands
    below it is ``fields``, which the channel's own class reads (``segue.workflows.catalog``).
    """

    id: Name
    after: Annotated[Items[Name], BeforeValidator(_ids)] = ()
    only: Annotated[Items[Name], BeforeValidator(_ids)] = ()  # arms of the workflow's split
    wait: WaitField | None = None
    condition: Annotated[WorkflowConditionField | None, Field(alias="if")] = None
    pace: PaceField | None = None
    digest: bool = False  # one message per run, about all contacts
    languages: Languages | None = None  # of texts that are given by language
    airflow: Annotated[ActionSettings, Field(exclude=True)] = ActionSettings()
    channel: str
    fields: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _name_the_channel(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "channel" in data:
            return data
        own = {key: data[key] for key in ACTION_KEYS & data.keys()}
        others = [key for key in data if key not in own]
        if len(others) != 1:
            message = (
                "an action has exactly one channel beside id, after, only, wait, if, pace, "
                f"digest, languages and airflow; found {', '.join(others) or 'none'}"
            ) + "".join(f"; {key}: {MOVED[key]}" for key in others if key in MOVED)
            raise ProblemsFound([((), message)])
        fields = data[others[0]]
        if not isinstance(fields, dict):
            raise ProblemsFound([((others[0],), f"expected a mapping of fields, found {fields!r}")])
        return {**own, "channel": others[0], "fields": fields}


@dataclass(frozen=True, slots=True)
class LiveLoad:
    """A live source that contacts' details are looked up in, by its name in YAML.

    ``fields`` is what stands below the name, which the source's own class reads
    (``segue.workflows.catalog``).
    """

    source: str
    fields: Mapping[str, Any]


def _load(value: object) -> object:
    if isinstance(value, LiveLoad) or value in LOADS:
        return value
    if not isinstance(value, dict):
        hint = did_you_mean(value, LOADS) if isinstance(value, str) else ""
        expectation = f"{', '.join(LOADS)}, or a live source with its fields"
        raise ValueError(f"found {value!r}; allowed: {expectation}{hint}")  # noqa: TRY004
    if len(value) != 1:
        what = f"found {', '.join(value)}" if value else "found none"
        raise ValueError(f"a live look-up has exactly one source; {what}")
    [(source, fields)] = value.items()
    if not isinstance(fields, dict):
        raise ProblemsFound([((source,), f"expected a mapping of fields, found {fields!r}")])
    return LiveLoad(source, fields)


def _load_as_written(load: str | LiveLoad) -> Any:
    return {load.source: load.fields} if isinstance(load, LiveLoad) else load


Load = Annotated[
    str | LiveLoad,
    PlainValidator(_load),
    PlainSerializer(_load_as_written),
    WithJsonSchema({"anyOf": [{"enum": list(LOADS)}, {"type": "object"}]}),
]


Once = Annotated[
    Duration | Literal["ever"],
    BeforeValidator(lambda value: value if value == "ever" else parse_duration(value)),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["ever", "30d"]}),
]
Cap = Annotated[
    tuple[int, timedelta],
    BeforeValidator(_cap),
    PlainSerializer(lambda cap: f"{cap[0]} per {'day' if cap[1] == _DAY else 'week'}"),
    WithJsonSchema({"type": "string", "pattern": f"^{_CAP.pattern}$", "examples": ["2 per week"]}),
]


class Policies(Definition):
    """What happens to changes that a careful person might not want acted on."""

    backfill: Literal["record", "deliver"] = "record"
    max_age: DurationField | None = Duration(2, "d")
    missing_snapshot: Literal["fail", "skip"] = "fail"
    wait_timeout: DurationField = Duration(6, "h")
    once_per_contact: Once | None = None  # each action; by the time of the change
    quiet_hours: QuietHours | None = None
    frequency_cap: dict[str, Cap] = Field(default_factory=dict)  # by channel, across workflows
    holdout: Share | None = None
    recheck: bool = False
    on_uncertain: Literal["hold", "resend"] = "hold"


def _shown_as(default: str) -> Any:
    """Let a schema show a default as YAML has it."""
    return Field(json_schema_extra={"default": default})


class GuardLimits(Definition):
    """Beyond which a run asks a person before anything is sent; ``null`` switches a limit off."""

    at_most: Annotated[int, Field(ge=0)] | None = 1000  # contacts of one kind of change
    share: Annotated[Share | None, _shown_as("20%")] = 0.2  # the same, of the members before
    floor: Annotated[int, Field(ge=0)] = 25  # up to so many contacts, ``share`` does not count
    shrunk_to: Annotated[Share | None, _shown_as("50%")] = 0.5  # of the contacts before
    stale: bool = True  # ask where the files are those of the earlier snapshot
    deadline: DurationField = Duration(24, "h")  # for a person's answer


class Notice(Definition):
    """A notifier of Airflow by its class; the other keys are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    notifier: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]

    @property
    def arguments(self) -> dict[str, Any]:
        """What the notifier is made with."""
        return dict(self.__pydantic_extra__ or {})


def _notices(value: object) -> object:
    return (value,) if isinstance(value, dict) else value


Notices = Annotated[
    Items[Notice], BeforeValidator(_notices, json_schema_input_type=Notice | Items[Notice])
]


class Notify(Definition):
    """Who is told of a failed run, of deliveries that need a look, of the guard's question."""

    on_failure: Notices = ()
    on_held: Notices = ()
    on_approval: Notices = ()


class Branches(Definition):
    """When one branch per contact becomes branches of slices."""

    max: Annotated[int, Field(ge=1, le=1000)] = 100
    slice_size: Annotated[int, Field(ge=1, le=100_000)] = 500


class ReportRules(Definition):
    """When the report fails its run."""

    max_failed: Annotated[int, Field(ge=0)] = 0


class WorkflowDefinition(Definition):
    """A segment, kinds of change, conditions, actions, policies and a schedule: one DAG."""

    ELSEWHERE: ClassVar[Mapping[str, str]] = MOVED

    workflow: Annotated[Name, AfterValidator(_not_reserved)]
    segment: Name
    description: str | None = None
    changes: Annotated[Items[WrittenKind], Field(min_length=1)]
    schedule: CronOrSnapshot | None = None
    start: Start
    owner: Annotated[str, Field(min_length=1)] = "segue"
    tags: Items[str] = ()
    load: Load = "snapshot"
    conditions: WorkflowConditionField | None = None
    leave_when: WorkflowConditionField | None = None
    split: dict[Name, Share] | None = None  # shares of contacts, by arm
    actions: Annotated[Items[Action], Field(min_length=1)]
    policies: Policies = Policies()
    guard: GuardLimits = GuardLimits()
    notify: Notify = Notify()
    branches: Branches = Branches()
    retries: Annotated[int, Field(ge=0, le=1000)] = 28  # of an action's task: they span 24 hours
    # Left out of every dump: where tasks run decides nothing of what is sent.
    airflow: Annotated[WorkflowSettings, Field(exclude=True)] = WorkflowSettings()
    report: ReportRules = ReportRules()
    # Left out of every dump: examples decide nothing, so they change no digest.
    tests: Annotated[Items[WorkflowExample], Field(exclude=True)] = ()

    @model_validator(mode="after")
    def _actions_fit_together(self) -> Self:
        ids = [action.id for action in self.actions]
        problems = list(action_problems(dict(enumerate(self.actions)), ids))
        problems += split_problems(self.split, self.actions)
        if self.load == "none":
            problems += _load_problems(self.all_conditions())
        problems += example_problems(self.tests, self.changes, ids)
        if problems:
            raise ProblemsFound(problems)
        return self

    def action(self, action_id: str) -> Action:
        """Return the action with this id; KeyError when there is none."""
        return {action.id: action for action in self.actions}[action_id]

    def all_conditions(self) -> list[tuple[Location, Condition]]:
        """Return the conditions, ``leave_when`` and every action's ``if``, with their places."""
        return conditions_of(self.conditions, self.leave_when, dict(enumerate(self.actions)))

    def zone_fields(self) -> frozenset[str]:
        """Return the contacts' fields that say which time zone a contact lives in."""
        return frozenset(
            name for _, name in zone_fields(self.policies, dict(enumerate(self.actions)))
        )

    @property
    def cron(self) -> str | None:
        """The schedule, where it is one of times."""
        return None if self.follows_snapshots else self.schedule

    @property
    def follows_snapshots(self) -> bool:
        """Whether runs start when a snapshot of the directory lands."""
        return self.schedule == ON_SNAPSHOT

    def start_instant(self, zone: ZoneInfo) -> datetime:
        """Return ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
        return start_instant(self.start, zone)


def conditions_of(
    conditions: Condition | None, leave_when: Condition | None, actions: Mapping[int, Action]
) -> list[tuple[Location, Condition]]:
    """Return all conditions of a workflow with their places; ``actions`` are by theirs."""
    every: list[tuple[Location, Condition | None]] = [
        (("conditions",), conditions),
        (("leave_when",), leave_when),
        *((("actions", index, "if"), action.condition) for index, action in actions.items()),
    ]
    return [(place, condition) for place, condition in every if condition is not None]


def zone_fields(
    policies: Policies, actions: Mapping[int, Action]
) -> Iterator[tuple[Location, str]]:
    """Yield the contacts' fields that name time zones, with the places that say so."""
    hours = policies.quiet_hours
    if hours is not None and hours.timezone_field is not None:
        yield ("policies", "quiet_hours", "timezone_field"), hours.timezone_field
    for index, action in actions.items():
        if action.wait is not None and action.wait.timezone_field is not None:
            yield ("actions", index, "wait", "timezone_field"), action.wait.timezone_field


def _load_problems(
    conditions: Iterable[tuple[Location, Condition]],
) -> Iterator[tuple[Location, str]]:
    """Yield a problem for each leaf about segments and opt states, which nothing was loaded for."""
    for location, condition in conditions:
        for leaf in leaves(condition):
            if isinstance(leaf, SegmentLeaf | SubscriptionLeaf):
                message = f"with `load: none` nothing is known of a contact's {leaf.KEY}s"
                yield (*location, *leaf.location, leaf.KEY), message


def action_problems(
    actions: Mapping[int, Action], ids: Collection[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (location, message) for each way in which actions do not fit together.

    ``actions`` are by their place in the list; ``ids`` are those of all actions that were
    written, even where one could not be read.
    """
    prerequisites_of = {action.id: action.after for action in actions.values()}
    digests = {action.id for action in actions.values() if action.digest}
    earlier_ids: set[str] = set()
    for index, action in actions.items():
        location = ("actions", index)
        for message in _id_problems(action, earlier_ids):
            yield (*location, "id"), message
        earlier_ids.add(action.id)
        if action.digest and action.wait is not None:
            yield (*location, "wait"), "a digest goes out when its run is through; it cannot wait"
        for other in action.after:
            problem = _why_not_after(action, other, ids, digests)
            if problem is not None:
                yield (*location, "after"), problem
        if action.id in reachable(action.id, prerequisites_of):
            yield (*location, "after"), f"the action {action.id!r} comes after itself"


def split_problems(
    split: Mapping[str, float] | None, actions: Sequence[Action]
) -> Iterator[tuple[Location, str]]:
    """Yield (location, message) for each way in which actions and a split do not fit together."""
    arms = split or {}
    if split is not None and (len(arms) < 2 or not math.isclose(sum(arms.values()), 1)):
        total = f"{sum(arms.values()) * 100:g}%"
        yield ("split",), f"found {len(arms)} with {total}; allowed: two or more with 100% together"
    only = {action.id: action.only for action in actions}
    for index, action in enumerate(actions):
        location = ("actions", index, "only")
        for arm in action.only:
            if arm not in arms:
                choices = f"{', '.join(arms)}{did_you_mean(arm, arms)}" or "none, without `split`"
                yield location, f"there is no arm {arm!r}; allowed: {choices}"
        for other in action.after:
            of_other = only.get(other, ())
            if of_other and not (action.only and set(action.only) <= set(of_other)):
                message = (
                    f"it comes after {other!r}, which is not for all; allowed: arms of that one"
                )
                yield location, f"{message}: {', '.join(of_other)}"


def _id_problems(action: Action, earlier_ids: Collection[str]) -> Iterator[str]:
    if action.id in RESERVED_ACTIONS or (action.digest and action.id in RESERVED_DIGESTS):
        yield f"the id {action.id!r} is a task of Segue's own; choose another"
    if action.id in earlier_ids:
        yield f"duplicate id {action.id!r}; each action needs its own"


def _why_not_after(
    action: Action, other: str, ids: Collection[str], digests: Collection[str]
) -> str | None:
    if other not in ids:
        choices = ", ".join(ids) + did_you_mean(other, ids)
        return f"there is no action {other!r}; allowed: {choices}"
    if other in digests and not action.digest:
        return (
            f"{other!r} is a digest, which goes out when all contacts are through; "
            f"allowed: another action, or `digest: true` for {action.id!r}, too"
        )
    return None


def reachable(start: str, after: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return the actions that must come before ``start``, directly or not."""
    ids: set[str] = set()
    todo = list(after.get(start, ()))
    while todo:
        current = todo.pop()
        if current not in ids:
            ids.add(current)
            todo.extend(after.get(current, ()))
    return ids


def prerequisites(workflow: WorkflowDefinition, action: Action) -> set[str]:
    """Return the ids of all actions that come before ``action``, directly or not."""
    return reachable(action.id, {item.id: item.after for item in workflow.actions})
