"""A take that is killed publishes nothing, and the next one takes the snapshot."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
from sqlalchemy import NullPool, create_engine

from segue.directory.snapshots import list_snapshots

from .conftest import CUSTOMERS, MOMENT, Shop
from .killed import ROWS, TABLES


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_whenever_it_is_killed_the_snapshot_is_whole_or_absent(root, tmp_path, kills):
    database = f"sqlite:///{tmp_path / 'empty.db'}"
    shop = Shop(root, create_engine(database, poolclass=NullPool))
    moments = random.Random(15)
    ended = 0
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.unit.takes.killed", str(root), database],
            stdout=subprocess.PIPE,
        ) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
        for item in list_snapshots(shop.definition(CUSTOMERS), now=MOMENT.as_of.replace(year=2027)):
            if item.complete:
                ended += 1
                assert shop.snapshot(TABLES).count("contacts") == ROWS
                (root / item.key / "_segue.json").unlink()  # so that the next has something to do
    assert ended < kills
    shop.take(TABLES)
    assert shop.snapshot(TABLES).count("contacts") == ROWS
    assert len(shop.files()) == 2, "what was left is deleted"
