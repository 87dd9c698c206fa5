"""The ledger behind PgBouncer, which gives every transaction whichever session is free."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import Finished
from segue.ledger.schema import REVISION
from segue.ledger.states import State
from tests.unit.builders import NOW, added, advance, detected, record, run, states, stretch

pytestmark = pytest.mark.postgres
WORKERS = 4
SESSIONS = 2  # of the server, for all workers
CONTACTS = 40  # of each worker


@pytest.fixture
def database(new_database: URL) -> URL:
    """The pooler holds sessions in it."""
    return new_database


@pytest.fixture
def pooler(ledger: Ledger) -> Iterator[URL]:
    """The address of the ledger behind a pooler in transaction mode."""
    if ledger.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no pooler")
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise FileNotFoundError("pgbouncer")
        pytest.skip("pgbouncer is not installed")
    url = ledger.engine.url
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = f"host={url.host} port={url.port or 5432} user={url.username or getpass.getuser()}"
    if url.password:
        server += f" password={url.password}"
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": SESSIONS,
        "server_round_robin": 1,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text("\n".join(["[databases]", f"* = {server}", "[pgbouncer]", *lines, ""]))
        file.chmod(0o644)
        as_somebody = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to be root
        process = subprocess.Popen([program, "-q", *as_somebody, file], cwd=folder)
        try:
            _wait_for(port, process)
            yield url.set(host="127.0.0.1", port=port, username="anybody", password=None)
        finally:
            process.terminate()
            process.wait()


def test_workers_that_share_sessions_lose_nothing_and_send_nothing_twice(ledger, pooler):
    """Statements that one session prepared are not there in the next transaction's."""
    address = pooler.render_as_string(hide_password=False)
    people = [f"w{worker}-{number:02}" for worker in range(WORKERS) for number in range(CONTACTS)]
    ids = record(ledger, run(), detected(stretch(21, 22), added(*people)))
    ledger.runs.release(ids, NOW)

    def work(worker: int) -> int:
        own = Ledger(open_engine(address), "test")
        mine = [name for name in people if name.startswith(f"w{worker}-")]
        keys = [own.key("welcome", "mail", name, "added", "2026-11-22") for name in mine]
        lease = {"owner": f"{worker}", "now": NOW, "lease_until": NOW + timedelta(minutes=1)}
        begun = 0
        for key in keys:
            own.deliveries.claim([key], **lease)
            begun += len(advance(own, [], [key], **lease))
            advance(own, [Finished(key, State.DELIVERED)], [], **lease)
        own.engine.dispose()
        return begun

    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(work, range(WORKERS))) == [CONTACTS] * WORKERS
    assert set(states(ledger).values()) == {"delivered"}
    engine = open_engine(address)
    assert upgrade(engine) == REVISION
    engine.dispose()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("PgBouncer did not start")
