"""docker-compose.yaml must be right although no container engine runs in the tests.

It is held against the Compose specification's own schema (tests/unit/data/compose-spec.json,
Apache-2.0, from the compose-spec project as packaged in check-jsonschema 0.39.0); then every
reference in it is followed: services, conditions, volumes, files, variables and commands.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from sqlalchemy import make_url

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
OURS = (*AIRFLOW, "init", "sample", "sandbox")
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
WITHOUT_DEFAULT = re.compile(r"\$\{(\w+)\}")  # an empty one is one: the setting is as good as unset

every_service = pytest.mark.parametrize("service", SERVICES)


def interpolated(text: str) -> str:
    """Return the text with each variable's default, as Compose sees it without an .env file."""
    return VARIABLE.sub(lambda match: match[2], text)


def named_volumes(service: str) -> list[tuple[str, str]]:
    mounts = (mount.split(":") for mount in SERVICES[service].get("volumes", ()))
    return [(source, target) for source, target, *_ in mounts if not source.startswith(".")]


def requirements(service: str) -> set[str]:
    """Return every service that must have started before this one, directly or not."""
    direct = SERVICES[service].get("depends_on", {}).keys()
    return set(direct).union(*(requirements(other) for other in direct))


def airflow_commands() -> list[str]:
    """Return every `airflow …` command of the file and of the script that init runs."""
    lists = [SERVICES[service].get("command", []) for service in OURS]
    lists += [SERVICES[service].get("healthcheck", {}).get("test", [])[1:] for service in OURS]
    lists += [line.split() for line in (ROOT / "docker/init.sh").read_text().splitlines()]
    return sorted({" ".join(words) for words in lists if words[:1] == ["airflow"]})


@dataclass(frozen=True)
class AirflowReads:
    """What Airflow itself makes of our text."""

    commands: dict[str, str]  # "understood", or the parser's complaint
    connections: dict[str, str]  # the host behind each connection id


ASK_AIRFLOW = """
import contextlib, io, json, os, sys
from airflow.cli.cli_parser import get_parser
from airflow.models.connection import Connection

def verdict(command):
    complaint = io.StringIO()
    with contextlib.redirect_stderr(complaint):
        try:
            get_parser().parse_args(command.split()[1:])
        except SystemExit:
            return complaint.getvalue()
    return "understood"

def host(text):
    connection = Connection.from_json(text)
    return connection.host or connection.extra_dejson["base_url"]

prefix = "AIRFLOW_CONN_"
json.dump({
    "commands": {command: verdict(command) for command in sys.argv[1:]},
    "connections": {name.removeprefix(prefix).lower(): host(text)
                    for name, text in os.environ.items() if name.startswith(prefix)},
}, open(os.environ["ANSWER"], "w"))
"""


@pytest.fixture(scope="module")
def airflow_reads(tmp_path_factory) -> AirflowReads:
    """Ask in a process of its own: importing Airflow writes into its home folder."""
    home = tmp_path_factory.mktemp("airflow")
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "SEGUE"))}
    connections = {
        name: value
        for name, value in SERVICES["scheduler"]["environment"].items()
        if name.startswith("AIRFLOW_CONN_")
    }
    answer = home / "answer.json"
    subprocess.run(
        [sys.executable, "-c", ASK_AIRFLOW, *airflow_commands()],
        env={**ours, **connections, "AIRFLOW_HOME": str(home), "ANSWER": str(answer)},
        check=True,
        capture_output=True,
    )
    return AirflowReads(**json.loads(answer.read_text()))


def test_it_follows_the_compose_specification():
    schema = json.loads((ROOT / "tests/unit/data/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    problems = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(COMPOSE)]
    assert problems == []


def test_the_schema_would_notice_a_mistake():
    schema = json.loads((ROOT / "tests/unit/data/compose-spec.json").read_text())
    wrong = {"services": {"a": {"image": "b", "healthchek": {}}}}
    assert not jsonschema.validators.validator_for(schema)(schema).is_valid(wrong)


def test_every_service_of_the_design_is_there():
    assert set(SERVICES) == {*OURS, "postgres", "mailpit"}


@every_service
def test_what_a_service_waits_for_can_be_waited_for(service):
    for other, how in SERVICES[service].get("depends_on", {}).items():
        assert other in SERVICES
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no", "a service that restarts never completes"


@every_service
def test_services_do_not_wait_for_themselves(service):
    assert service not in requirements(service)  # a cycle would not even end


@every_service
def test_whatever_keeps_running_has_a_health_check(service):
    if SERVICES[service]["restart"] != "no":
        assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", AIRFLOW)
def test_airflow_starts_on_migrated_databases(service):
    assert {"init", "postgres"} <= requirements(service)


def test_tasks_start_when_there_is_somebody_to_receive_their_messages():
    assert {"sandbox", "mailpit", "api-server"} <= requirements("scheduler")


@every_service
def test_named_volumes_are_declared(service):
    assert {source for source, _ in named_volumes(service)} <= COMPOSE["volumes"].keys()


def test_no_volume_is_left_over():
    used = {source for service in SERVICES for source, _ in named_volumes(service)}
    assert used == COMPOSE["volumes"].keys()


@every_service
def test_mounted_files_exist(service):
    sources = (mount.split(":")[0] for mount in SERVICES[service].get("volumes", ()))
    assert [s for s in sources if s.startswith(".") and not (ROOT / s).exists()] == []


@pytest.mark.parametrize("service", OURS)
def test_named_volumes_belong_to_the_image_s_user(service):
    """A volume takes the owner of the folder it first covers: the image must have that folder."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    made = re.search(r"mkdir -p (.*) \\\n\s+&& chown -R segue (.*)\n", dockerfile)
    assert made is not None
    assert {target for _, target in named_volumes(service)} <= set(made[1].split())


@every_service
def test_every_variable_has_a_default_or_none_needs_one(service):
    text = json.dumps(SERVICES[service])
    assert WITHOUT_DEFAULT.findall(text) == []


@every_service
def test_ports_are_published_to_this_machine_only(service):
    for port in SERVICES[service].get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_secrets_by_default_say_that_they_are_for_development():
    environment = SERVICES["scheduler"]["environment"]
    key = interpolated(environment["AIRFLOW__CORE__FERNET_KEY"])
    assert base64.urlsafe_b64decode(key).startswith(b"segue-dev-only")
    for name in ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert "dev-only" in interpolated(environment[name])
    assert "dev-only" in interpolated(SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"])


def test_nobody_is_forgotten_with_a_secret_that_is_published():
    """It can never be changed afterwards: without one of their own, people are told to set it."""
    assert interpolated(SERVICES["scheduler"]["environment"]["SEGUE_SECRET"]) == ""


@pytest.mark.parametrize("name", ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "SEGUE_LEDGER"])
@pytest.mark.parametrize("service", OURS)
def test_a_database_s_password_is_in_no_url(service, name):
    """Where `p@ss/1` would be another host: libpq takes it from the environment as it is."""
    environment = SERVICES[service]["environment"]
    if name in environment:  # the sandbox has none
        assert not VARIABLE.search(environment[name])
        assert make_url(environment[name]).password is None
        server = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]
        assert environment["PGPASSWORD"] == server


@every_service
def test_images_have_a_version(service):
    """A tag that moves from day to day makes two machines two programs."""
    image = SERVICES[service]["image"]
    assert re.search(r":v?\d+\.\d+", image) or service in OURS


@pytest.mark.parametrize("service", OURS)
def test_our_services_may_do_no_more_than_a_user(service):
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


@every_service
def test_logs_do_not_fill_the_disk(service):
    assert "max-size" in SERVICES[service]["logging"]["options"]


def test_airflow_s_services_share_their_settings():
    first, *others = [SERVICES[service]["environment"] for service in AIRFLOW]
    assert all(other == first for other in others)


def test_connections_are_what_airflow_reads(airflow_reads):
    assert set(airflow_reads.connections) == {
        *("slack_default", "zendesk_default", "freshdesk_default", "smtp_default"),
        *("twilio_default", "teams_default", "qualtrics_default"),
    }
    for name, host in airflow_reads.connections.items():
        assert re.search(r"\bsandbox:8090/|^mailpit$", host), f"{name} leaves this machine"


def test_addresses_name_services():
    environment = SERVICES["scheduler"]["environment"]
    hosts = {
        host
        for value in environment.values()
        for host in re.findall(r"(?:@|http://)([\w.-]+):\d+", interpolated(value))
    }
    assert hosts - {"localhost"} <= SERVICES.keys()


def test_the_databases_are_made():
    environment = SERVICES["scheduler"]["environment"]
    made = {SERVICES["postgres"]["environment"]["POSTGRES_DB"]} | set(
        re.findall(r"CREATE DATABASE (\w+)", (ROOT / "docker/postgres/databases.sql").read_text())
    )
    used = {
        environment[name].rpartition("/")[2]
        for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "SEGUE_LEDGER")
    }
    assert used == made == {"airflow", "segue"}


@pytest.mark.parametrize("command", airflow_commands())
def test_airflow_knows_the_command(airflow_reads, command):
    assert airflow_reads.commands[command] == "understood"


SEGUE_COMMANDS = (("sandbox", "--host"), ("db", "upgrade"))


def test_segue_s_commands_are_these():
    text = (ROOT / "docker-compose.yaml").read_text() + (ROOT / "docker/init.sh").read_text()
    assert SERVICES["sandbox"]["command"][:3] == ["segue", *SEGUE_COMMANDS[0]]
    assert set(re.findall(r"^segue (.*)$", text, re.MULTILINE)) == {"db upgrade"}


@pytest.mark.parametrize("command", SEGUE_COMMANDS, ids=" ".join)
def test_segue_knows_the_command(command):
    words = [word for word in command if not word.startswith("-")]
    options = [word for word in command if word.startswith("-")]
    shown = subprocess.run(
        [Path(sys.executable).with_name("segue"), *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert all(option in shown.stdout for option in options)


def test_the_sample_grows_where_airflow_looks_for_it(monkeypatch):
    """Written before Airflow starts, then day by day; a start of years ago is not caught up."""
    from segue.sample import __main__ as command

    module, folder = SERVICES["sample"]["command"][2:4]
    environment = SERVICES["scheduler"]["environment"]
    assert (module, folder) == ("segue.sample", f"{environment['SEGUE_HOME']}/sample/customers")
    assert interpolated(environment["SEGUE_CATCH_UP"]) == "false"
    written = []
    monkeypatch.setattr(command, "write_up_to", lambda last, asked: written.append(asked))
    monkeypatch.setattr(command.time, "sleep", lambda seconds: 1 / 0)
    monkeypatch.setattr("sys.argv", SERVICES["sample"]["command"][2:])
    with pytest.raises(ZeroDivisionError):
        command.main()
    assert [str(asked.folder) for asked in written] == [folder]


def test_every_setting_that_the_docs_name_reaches_the_containers():
    """Set beside `docker compose`, or in `.env`: what is not passed on does nothing there."""
    text = (ROOT / "docs/operations.md").read_text()
    documented = set(re.findall(r"^\| `(SEGUE_\w+)`", text, re.MULTILINE))
    assert documented >= {"SEGUE_HOME", "SEGUE_NEW_NAMESPACE"}
    assert documented <= set(SERVICES["scheduler"]["environment"])


def test_the_image_has_what_it_copies():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [
        p
        for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE)
        for p in line.split()[:-1]
    ]
    allowed = set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert set(copied) == allowed


def test_the_image_installs_by_hash_and_does_not_run_as_root():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["50000:0"]
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-\S+$", dockerfile, re.MULTILINE)
