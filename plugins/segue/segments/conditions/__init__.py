"""The condition language: what it may say, how it is read, what it asks of the data.

Nothing here computes over contacts (segments/evaluation.py does) and nothing imports pandas, so
a DAG file can parse conditions cheaply.
"""

from __future__ import annotations

from segue.segments.conditions import operators as _builtin  # noqa: F401 - registers them
from segue.segments.conditions.aggregates import Aggregate, register_aggregate
from segue.segments.conditions.inspection import (
    Needs,
    SegmentName,
    named_segments,
    needed_columns,
    to_data,
    unknown_fields,
)
from segue.segments.conditions.nodes import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    MailingListLeaf,
    Not,
    SampleLeaf,
    SegmentLeaf,
    SubscriptionLeaf,
    Test,
    TransactionsLeaf,
)
from segue.segments.conditions.parsing import parse_condition, parse_workflow_condition
from segue.segments.conditions.registry import Moment, Operator, register
from segue.segments.conditions.schema import ConditionField, WorkflowConditionField

__all__ = [
    "Aggregate",
    "AllOf",
    "AnyOf",
    "ChangeLeaf",
    "Comparison",
    "Condition",
    "ConditionField",
    "FieldLeaf",
    "MailingListLeaf",
    "Moment",
    "Needs",
    "Not",
    "Operator",
    "SampleLeaf",
    "SegmentLeaf",
    "SegmentName",
    "SubscriptionLeaf",
    "Test",
    "TransactionsLeaf",
    "WorkflowConditionField",
    "named_segments",
    "needed_columns",
    "parse_condition",
    "parse_workflow_condition",
    "register",
    "register_aggregate",
    "to_data",
    "unknown_fields",
]
