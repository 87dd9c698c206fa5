"""Mail to a real Postfix, which refuses senders and logins late: at RCPT, or after DATA.

It runs from a folder of the test's own, on ports of its own, and throws away what it accepts
(https://www.postfix.org/postconf.5.html: smtpd_delay_reject, smtpd_reject_unlisted_sender,
smtpd_soft_error_limit; https://www.postfix.org/access.5.html).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from segue.channels.email.message import EmailMessage
from segue.clock import Clock as DoorClock
from segue.delivery.calls import Pass
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.ledger import Ledger
from segue.ledger.states import State
from tests.unit.builders import NOW, added, detected, record, run, stretch
from tests.unit.delivery.test_door import Clock

pytestmark = pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)

SERVICES = {  # name and options of a server, each on a port of its own
    "plain": {},
    # Debian's own, of the submission port: whoever did not log in may write to nobody
    "no_login": {"smtpd_recipient_restrictions": "permit_sasl_authenticated,reject"},
    "strict": {"smtpd_sender_restrictions": "check_sender_access,texthash:{folder}/senders"},
    "small": {"message_size_limit": "20000"},
    "grey": {"smtpd_recipient_restrictions": "check_recipient_access,texthash:{folder}/grey"},
    "picky": {"cleanup_service_name": "picky_cleanup"},
}
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.com
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = example.com
relay_recipient_maps = texthash:{folder}/people
default_transport = discard
relay_transport = discard
smtpd_reject_unlisted_sender = yes
"""
MASTER = """
cleanup unix n - n - 0 cleanup
picky_cleanup unix n - n - 0 cleanup -o header_checks=regexp:{folder}/headers
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
PEOPLE = [f"c{number}" for number in range(60)]


@dataclass(frozen=True)
class Postfix:
    """A running Postfix: a port for each of ``SERVICES``, and what it writes down."""

    ports: Mapping[str, int]
    log: Path

    def count(self, pattern: str) -> int:
        """Return how often something stands in the log by now."""
        return len(re.findall(pattern, self.log.read_text()))


def find_postfix() -> str:
    program = shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin")
    why = "Postfix is not installed" if program is None else ""
    if program and os.geteuid() != 0 and not may_become_root():
        why = "Postfix is started by root alone"
    if why and os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
        raise FileNotFoundError(why)
    if why:
        pytest.skip(why)
    return str(program)


def may_become_root() -> bool:
    sudo = shutil.which("sudo")
    return bool(sudo) and subprocess.run([sudo, "-n", "true"], check=False).returncode == 0


def as_root(*command: object) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run(
        [*sudo, *map(str, command)],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    program = find_postfix()
    folder = Path(tempfile.mkdtemp(prefix="segue-postfix-"))
    folder.chmod(0o755)
    ports = {name: free_port() for name in SERVICES}
    write_settings(folder, ports)
    as_root("chown", "-R", "root", folder / "etc")
    as_root("chown", "postfix", folder / "data")
    try:
        as_root(program, "-c", folder / "etc", "start")
        wait_for(ports.values())
        yield Postfix(ports, folder / "log")
    finally:
        as_root(program, "-c", folder / "etc", "stop")
        as_root("rm", "-rf", folder)


def write_settings(folder: Path, ports: Mapping[str, int]) -> None:
    for name in ("etc", "data", "queue"):
        (folder / name).mkdir()
    lines = [MASTER.format(folder=folder)]
    for name, options in SERVICES.items():
        lines.append(f"127.0.0.1:{ports[name]} inet n - n - - smtpd")
        for option, value in options.items():
            lines.append(f"  -o {option}={value.format(folder=folder)}")
    (folder / "etc/main.cf").write_text(MAIN.format(folder=folder))
    (folder / "etc/master.cf").write_text("\n".join([*lines, ""]))
    known = [*PEOPLE, "shop", "banned", "team"]
    (folder / "people").write_text("".join(f"{name}@example.com x\n" for name in known))
    (folder / "senders").write_text("banned@example.com REJECT\n")
    grey = [*PEOPLE[::2], "team"]
    refusals = (f"{each}@example.com 450 4.2.0 Greylisted\n" for each in grey)
    (folder / "grey").write_text("".join(refusals))
    (folder / "headers").write_text("/^Subject: .*offer/ REJECT\n")
    (folder / "log").touch()
    (folder / "log").chmod(0o666)


def wait_for(ports: object) -> None:
    until = time.monotonic() + 30
    for port in list(ports):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < until, "Postfix does not answer"
                time.sleep(0.05)


@pytest.fixture
def to(postfix: Postfix, monkeypatch: pytest.MonkeyPatch):
    """Lead the connection to one of the servers."""

    def lead(service: str) -> None:
        extra = {
            "disable_ssl": True,
            "disable_tls": True,
            "from_email": "shop@example.com",
            "timeout": 30,
        }
        fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": postfix.ports[service]}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps({**fields, "extra": extra}))

    return lead


def released(ledger: Ledger, count: int, **fields: Mapping[str, str]) -> list[Candidate]:
    """Candidates with addresses that Postfix knows; ``fields`` are those of some of them, by id."""
    ids = PEOPLE[:count]
    spans = record(ledger, run(), detected(stretch(21, 22), added(*ids)))
    ledger.runs.release(spans, NOW)
    usual = {"manager": "shop", "text": "short", "subject": "Hello"}
    return [
        Candidate(
            key=ledger.key("welcome", "mail", contact_id, "added", "2026-11-22"),
            contact_id=contact_id,
            change="added",
            snapshot="2026-11-22",
            fields={
                "contact_id": contact_id,
                "email": f"{contact_id}@example.com",
                **usual,
                **fields.get(contact_id, {}),
            },
            opted_in=True,
        )
        for contact_id in ids
    ]


def deliver(
    ledger: Ledger, candidates: list[Candidate], owner: str = "me", **fields: object
) -> tuple[Pass, Clock]:
    usual = {"subject": "{{ contact.subject }}", "text": "{{ contact.text }}"}
    channel = EmailMessage.model_validate({**usual, **fields})
    clock = Clock()
    door = Door(ledger, channel, Terms("welcome"), owner=owner, clock=DoorClock(clock, clock.sleep))
    return door.deliver(candidates), clock


def reason(ledger: Ledger, contact: str) -> str:
    [row] = ledger.queries.list_deliveries(contact_id=contact)
    return f"{row.outcome}: {row.reason}"


def test_an_unknown_mailbox_fails_alone(ledger, to):
    to("plain")
    candidates = released(ledger, 9, c4={"email": "nobody@example.com"})
    result, _ = deliver(ledger, candidates)
    assert result.standing == {State.DELIVERED: 8, State.FAILED: 1}
    assert reason(ledger, "c4") == "failed: the mail server refuses the recipient: 550 5.1.1"


def test_a_forgotten_login_fails_nobody(ledger, to):
    """Postfix takes the sender and refuses each recipient: 554 5.7.1."""
    candidates = released(ledger, 12)
    to("no_login")
    result, _ = deliver(ledger, candidates)
    assert result.standing == {State.RELEASED: 12}
    assert "554 5.7.1; check the connection's login" in str(result.connection)
    to("plain")
    result, _ = deliver(ledger, candidates, "next")
    assert result.standing == {State.DELIVERED: 12}


@pytest.mark.parametrize(("manager", "code"), [("banned", "554 5.7.1"), ("gone", "550 5.1.0")])
def test_one_sender_that_is_refused_fails_alone(ledger, to, manager, code):
    """Which Postfix says of the sender, in its answer to RCPT."""
    to("strict")
    candidates = released(ledger, 9, c4={"manager": manager})
    result, _ = deliver(ledger, candidates, **{"from": "{{ contact.manager }}@example.com"})
    assert result.standing == {State.DELIVERED: 8, State.FAILED: 1}
    assert reason(ledger, "c4") == f"failed: the mail server refuses the recipient: {code}"


@pytest.mark.parametrize(("sender", "code"), [("banned", "554 5.7.1"), ("gone", "550 5.1.0")])
def test_a_sender_that_is_refused_to_everybody_fails_nobody(ledger, to, sender, code):
    to("strict")
    candidates = released(ledger, 12)
    result, _ = deliver(ledger, candidates, **{"from": f"{sender}@example.com"})
    assert result.standing == {State.RELEASED: 12}
    assert f"{code}; check the connection's login, and `from`" in str(result.connection)
    assert deliver(ledger, candidates, "next")[0].standing == {State.DELIVERED: 12}


def test_a_copy_that_the_definition_fixes_fails_nobody(ledger, to):
    """No contact can mend it; who mends the definition has all of them sent."""
    to("plain")
    candidates = released(ledger, 3)
    result, _ = deliver(ledger, candidates, cc="nobody@example.com")
    assert result.standing == {State.RELEASED: 3}
    assert "the recipient in cc: 550 5.1.1; check the address" in str(result.connection)
    result, _ = deliver(ledger, candidates, "next", cc="team@example.com")
    assert result.standing == {State.DELIVERED: 3}


def test_mails_too_large_for_the_server(ledger, to):
    """One of them fails alone; where all are, because of a picture in the layout, nobody does."""
    to("small")
    candidates = released(ledger, 9, c4={"text": "x" * 30_000})
    result, _ = deliver(ledger, candidates)
    assert result.standing == {State.DELIVERED: 8, State.FAILED: 1}
    assert reason(ledger, "c4").endswith("552 5.3.4")


def test_all_mails_too_large_for_the_server(ledger, to):
    to("small")
    result, _ = deliver(ledger, released(ledger, 9), html="<p>" + 30_000 * "x" + "</p>")
    assert result.standing == {State.RELEASED: 9}
    assert "552 5.3.4" in str(result.connection)


@pytest.mark.parametrize("subjects", [["c4"], PEOPLE[:9]])
def test_content_that_is_refused_after_it_was_sent(ledger, to, subjects):
    to("picky")
    fields = {contact: {"subject": "An offer"} for contact in subjects}
    result, _ = deliver(ledger, released(ledger, 9, **fields))
    of_one = len(subjects) == 1
    assert result.standing == (
        {State.DELIVERED: 8, State.FAILED: 1} if of_one else {State.RELEASED: 9}
    )
    assert "the message: 550 5.7.1" in reason(ledger, "c4")


def test_greylisting_holds_up_nobody_else_and_costs_no_login_each(ledger, to, postfix):
    """Half of sixty are to come again later: no pause, and a connection for several of them."""
    to("grey")
    before, began = postfix.count(r"\bconnect from"), time.monotonic()
    result, clock = deliver(ledger, released(ledger, 60))
    assert result.standing == {State.DELIVERED: 30, State.RELEASED: 30}
    assert clock.naps == []
    assert time.monotonic() - began < 20
    assert postfix.count("Greylisted") == 30
    assert postfix.count(r"\bconnect from") - before <= 12
    to("plain")


def test_everybody_greylisted_costs_no_more(ledger, to, postfix):
    """As of the first mail through a server that does not know us."""
    to("grey")
    before, began = postfix.count(r"\bconnect from"), time.monotonic()
    candidates = [
        Candidate(
            key=each.key,
            contact_id=each.contact_id,
            change=each.change,
            snapshot=each.snapshot,
            fields={**(each.fields or {}), "email": "team@example.com"},
            opted_in=True,
        )
        for each in released(ledger, 60)
    ]
    result, clock = deliver(ledger, candidates)
    assert result.standing == {State.RELEASED: 60}
    assert clock.naps == []
    assert time.monotonic() - began < 20
    assert postfix.count(r"\bconnect from") - before <= 12
    to("plain")
    assert deliver(ledger, candidates, "next")[0].standing == {State.DELIVERED: 60}
