"""A take that is killed publishes nothing, and the next one takes the snapshot."""

from __future__ import annotations

import random
from functools import partial

import pytest
from sqlalchemy import NullPool, create_engine

from segue.directory.snapshots import list_snapshots

from .conftest import CUSTOMERS, MOMENT, Shop
from .killed import ROWS, TABLES
from .killing import IN_THE_MIDST, LONGEST, run_for


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_whenever_it_is_killed_the_snapshot_is_whole_or_absent(root, tmp_path, kills):
    database = f"sqlite:///{tmp_path / 'empty.db'}"
    shop = Shop(root, create_engine(database, poolclass=NullPool))
    take = partial(run_for, "tests.unit.takes.killed", root, database)
    duration = take()
    (whole_one,) = root.glob("*/_segue.json")
    whole_one.unlink()
    moments = random.Random(15)
    ended = 0
    for number in range(kills):
        moment = moments.uniform(0, LONGEST) if number else IN_THE_MIDST
        take(seconds=moment * duration)
        for item in list_snapshots(shop.definition(CUSTOMERS), now=MOMENT.as_of.replace(year=2027)):
            if item.complete:
                ended += 1
                assert shop.snapshot(TABLES).count("contacts") == ROWS
                (root / item.key / "_segue.json").unlink()  # so that the next has something to do
    assert ended < kills
    shop.take(TABLES)
    assert shop.snapshot(TABLES).count("contacts") == ROWS
    assert len(shop.files()) == 2, "what was left is deleted"
