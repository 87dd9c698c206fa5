"""How a table is stored does not change what is read from it."""

from __future__ import annotations

import csv
import io
import uuid

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from .conftest import KEY, SnapshotFolder

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)
CONTACTS = st.dictionaries(TEXT, st.tuples(st.none() | TEXT, st.none() | TEXT), min_size=1)


@st.composite
def stored(draw):
    """Return contacts, and one way to store them: rows in some order, in parts, with extras."""
    contacts = draw(CONTACTS)
    rows = draw(st.permutations(sorted(contacts)))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    columns = draw(st.permutations(["contact_id", "x", "y", "extra"]))
    suffix = draw(st.sampled_from(["csv", "csv.gz", "parquet"]))
    return contacts, parts, columns, suffix


def encode(contacts, rows, columns, suffix):
    values = {
        "contact_id": rows,
        "x": [contacts[row][0] for row in rows],
        "y": [contacts[row][1] for row in rows],
        "extra": ["e"] * len(rows),
    }
    if suffix == "parquet":
        return pa.table({name: pa.array(values[name], pa.string()) for name in columns})
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL)
    writer.writerows([columns, *zip(*(values[name] for name in columns), strict=True)])
    return sink.getvalue()


@settings(max_examples=60, deadline=None)
@given(stored())
def test_storage_does_not_matter(example):
    """Format, number of files, order of rows and columns, and extra columns change nothing."""
    contacts, parts, columns, suffix = example
    folder = SnapshotFolder(UPath(f"memory://{uuid.uuid4().hex}/snapshots"))
    for number, rows in enumerate(parts):
        name = (
            f"{KEY}/contacts/part-{number}.{suffix}"
            if len(parts) > 1
            else f"{KEY}/contacts.{suffix}"
        )
        folder.write(name, encode(contacts, rows, columns, suffix))
    tables = folder.tables()
    frame = tables.contacts(["y", "x"])
    found = [tuple(row) for row in frame.astype(object).where(frame.notna(), None).to_numpy()]
    expected = [(row, contacts[row][1], contacts[row][0]) for row in sorted(contacts)]
    assert found == expected
    some = sorted(contacts)[::2]
    assert tables.contacts([], only=some)["contact_id"].tolist() == some
    folder.root.fs.rm(folder.root.parent.path, recursive=True)
