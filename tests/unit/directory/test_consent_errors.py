"""What is wrong with `consent` is told once, in the words of the file."""

from __future__ import annotations

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.documents import parse_document, validate
from segue.errors import DefinitionError


@pytest.mark.parametrize(
    ("consent", "message"),
    [
        ("{opted_in: a, opted_out: b}", "opted_out: found opted_in and opted_out together"),
        ("{opted_in: 5}", "opted_in: expected a valid string, found 5"),
        ("{opted: x}", "opted: unknown key 'opted'"),
        ("{opted_out: v, not_opt_states: [v]}", "not_opt_states: 'v' is the opt state"),
        ("{not_opt_states: [unsubscribed]}", "not_opt_states: 'unsubscribed' is the opt state"),
        ("[a]", "consent: expected a mapping, found a list"),
    ],
)
def test_there_is_one_clear_error(consent, message):
    document = parse_document(f"directory: d\nsnapshots: x\nconsent: {consent}\n", "d.yaml")
    with pytest.raises(DefinitionError) as raised:
        validate(DirectoryDefinition, document)
    [problem] = raised.value.problems
    assert message in str(problem)
    assert "[" not in problem.path
