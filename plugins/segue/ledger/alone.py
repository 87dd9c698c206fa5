"""One process at a time: a lock that ends with whoever holds it, whatever ends that."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from sqlalchemy import Engine, func, select

from segue.ledger.engine import reachable


@contextmanager
def alone(engine: Engine, name: str) -> Iterator[bool]:
    """Tell whether nobody else does what ``name`` stands for; until the end nobody else may.

    On PostgreSQL the lock is a transaction's, so that it ends with the connection; beside a SQLite
    file, which one host has, it is a file's, and ends with the process. A database in memory has
    one process.
    """
    if engine.dialect.name == "postgresql":
        number = func.hashtextextended(name, 0)
        with reachable(engine), engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield bool(connection.execute(select(func.pg_try_advisory_xact_lock(number))).scalar())
        return
    database = engine.url.database
    if database in (None, "", ":memory:"):
        yield True
        return
    with Path(f"{database}.{crc32(name.encode()):08x}-lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
