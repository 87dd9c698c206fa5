"""A PostgreSQL server of the test's own, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

PACKAGED = Path("/usr/lib/postgresql")  # where Debian puts each version's programs


class NoPostgresql(Exception):
    """There are no PostgreSQL server programs on this machine."""


class Cluster:
    """A PostgreSQL server in a temporary folder, on loopback, without a password."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self._programs, self._folder, self._user = programs, folder, user
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            self._port = server.getsockname()[1]

    def create(self) -> None:
        """Make the cluster's files."""
        # `postgres` is the superuser's name whoever runs this
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        # fsync is for power cuts; here processes die, and the system's cache outlives them
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` breaks off sessions, ``immediate`` leaves it as a crash would."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"torture_{uuid.uuid4().hex[:12]}"
        admin = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        done = subprocess.run(
            command,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-500:]}")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL server; raise NoPostgresql where its programs are missing."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="segue-pg-", ignore_cleanup_errors=True) as name:
        user = _unprivileged_user()
        if user:
            os.chown(name, pwd.getpwnam(user).pw_uid, -1)
        made = Cluster(programs, Path(name), user)
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")


def _programs() -> Path:
    """Return the folder of the newest initdb and pg_ctl."""
    folders = list(PACKAGED.glob("*/bin"))
    folders.sort(key=lambda folder: [int(part) for part in re.findall(r"\d+", str(folder))])
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    usable = [one for one in folders if (one / "initdb").exists() and (one / "pg_ctl").exists()]
    if not usable:
        raise NoPostgresql(f"no initdb and pg_ctl in {PACKAGED}/*/bin or on the PATH")
    return usable[-1]


def _unprivileged_user() -> str | None:
    """Return whom the server runs as, because PostgreSQL refuses root; None for oneself."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise NoPostgresql("PostgreSQL does not run as root, and there is no user postgres or nobody")
