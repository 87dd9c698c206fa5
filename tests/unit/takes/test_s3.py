"""Takes into a server that speaks S3: one of two is the snapshot, the other leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from segue.extras import storage_path
from segue.segments.membership.store import MembershipStore
from segue.takes.publication import Publication
from tests.unit.takes.conftest import CUSTOMERS, MOMENT, Shop

SERVER = Path(__file__).parents[1] / "directory" / "lakes" / "s3_server.py"


WHY = (
    "needs moto, s3fs and Airflow's provider: pip install s3fs 'moto[s3]' flask flask-cors "
    "apache-airflow-providers-amazon"
)
CONNECTION = {"conn_type": "aws", "login": "nobody", "password": "nothing"}


@pytest.fixture(params=["s3://lake/shop", "s3://CONNECTION@lake/shop"])
def shop(request, tmp_path, monkeypatch) -> Iterator[Shop]:
    """A shop whose snapshots stand in a bucket: over the environment, or Airflow's connection."""
    if not all(map(find_spec, ("s3fs", "moto", "flask", "airflow.providers.amazon"))):
        pytest.skip(WHY)
    import s3fs

    (tmp_path / "nothing").mkdir()
    command = [sys.executable, str(SERVER), str(tmp_path / "nothing")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        url = f"http://127.0.0.1:{port}"
        conn_id = f"lake_{uuid.uuid4().hex}"  # Airflow keeps what it connected to, by this name
        if "@" in request.param:
            connection = {**CONNECTION, "extra": {"endpoint_url": url}}
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        else:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        s3fs.S3FileSystem.clear_instance_cache()
        engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)
        shop = Shop(storage_path(request.param.replace("CONNECTION", conn_id)), engine)
        shop.execute(
            "CREATE TABLE customers (id TEXT, name TEXT, since TEXT)",
            "INSERT INTO customers VALUES ('007', 'Ann', '2026-11-20 00:00:00')",
        )
        yield shop
        s3fs.S3FileSystem.clear_instance_cache()
        server.kill()


def test_memberships_are_kept_beside_them(shop):
    """As SEGUE_STATE in a bucket has them."""
    store = MembershipStore(str(shop.root))
    store._fs.pipe(f"{store._folder}/x", b"1")
    assert shop.files() == ["/memberships/x"]


def test_of_two_takes_at_once_one_is_the_snapshot(shop, monkeypatch):
    """Both have written all their files before either writes its manifest."""
    sizes, both = Publication.sizes, threading.Barrier(2, timeout=60)

    def wait(publication: Publication) -> dict[str, int]:
        both.wait()
        return sizes(publication)

    monkeypatch.setattr(Publication, "sizes", wait)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: shop.take(CUSTOMERS), range(2)))
    assert sorted(result.is_own for result in results) == [False, True]
    assert len([name for name in shop.files() if name.endswith(".parquet")]) == 1
    assert shop.snapshot(CUSTOMERS).count("contacts") == 1


def test_what_is_there_is_left_and_may_be_replaced(shop):
    shop.take(CUSTOMERS)
    before = shop.files()
    assert not shop.take(CUSTOMERS).is_own
    assert shop.files() == before
    shop.execute("INSERT INTO customers VALUES ('8', 'Zoë', '2026-11-20 00:00:00')")
    assert shop.take(CUSTOMERS, MOMENT, replaces=True).is_own
    assert shop.snapshot(CUSTOMERS).count("contacts") == 2
    assert len(shop.files()) == 2
