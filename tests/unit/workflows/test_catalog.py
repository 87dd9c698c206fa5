"""The catalog reads each definition once, whatever comes of it."""

from __future__ import annotations

import pytest

from segue.errors import DefinitionError
from segue.workflows.catalog import Catalog


def test_a_definition_that_is_wrong_is_read_once(tmp_path):
    """Pages ask for it again and again; a deeply nested one takes a second to refuse."""
    file = tmp_path / "segments" / "gold.yaml"
    file.parent.mkdir()
    file.write_text("segment: gold\nwrong: 1\n")
    catalog = Catalog(tmp_path)
    with pytest.raises(DefinitionError, match="unknown key 'wrong'") as first:
        catalog.segment("gold")
    file.unlink()
    with pytest.raises(DefinitionError, match="unknown key 'wrong'") as again:
        catalog.segment("gold")
    assert again.value.problems == first.value.problems
