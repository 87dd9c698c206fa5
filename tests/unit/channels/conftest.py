"""One running sandbox for all tests of a module, and Airflow connections that point at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from segue.sandbox.server import Sandbox
from tests.channels.case import Servers
from tests.channels.cases import CASES
from tests.unit.channels.support import PATIENCE

SetConnection = Callable[..., None]


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A certificate for localhost that signs itself, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    hosts = ("localhost", "acme.localhost.example")
    names = [*map(x509.DNSName, hosts), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> SetConnection:
    """Set an Airflow connection for one test."""

    def set_to(connection: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection.upper()}", json.dumps(fields))

    return set_to


def _patience(test: pytest.Item) -> int:
    """Seconds to wait for an answer: few only where none is to come, for a busy machine is slow."""
    callspec = getattr(test, "callspec", None)
    late = callspec is not None and callspec.params.get("fault") == "time_out_after_effect"
    return 2 if late else PATIENCE


@pytest.fixture
def sandbox(
    running_sandbox: Sandbox, set_connection: SetConnection, request: pytest.FixtureRequest
) -> Sandbox:
    """The sandbox, empty, behind the connections that the channels use by default, and ``crm``."""
    running_sandbox.clear()
    _connect(running_sandbox, set_connection, _patience(request.node))
    return running_sandbox


@pytest.fixture
def be_patient(sandbox: Sandbox, set_connection: SetConnection) -> Callable[[], None]:
    """Wait for answers again, once the one that did not come is given up."""
    return lambda: _connect(sandbox, set_connection, PATIENCE)


def _connect(running_sandbox: Sandbox, set_connection: SetConnection, patience: int) -> None:
    servers = Servers(running_sandbox.url, running_sandbox.host, running_sandbox.smtp_port)
    for case in CASES.values():
        # of mail, each reply is waited for, the greeting too
        timeout = max(patience, 4) if case.service == "smtp" else patience
        connection = json.loads(case.connection_json(servers, timeout=timeout))
        set_connection(case.connection_id, **connection)
