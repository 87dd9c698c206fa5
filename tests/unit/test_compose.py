"""docker-compose.yaml must be right although no container engine runs in the tests.

It is held against the Compose specification's own schema (tests/unit/data/compose-spec.json,
Apache-2.0, from the compose-spec project as packaged in check-jsonschema 0.39.0); then every
reference in it is followed: services, conditions, volumes, files, variables and commands.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.fernet import Fernet
from ruamel.yaml import YAML
from sqlalchemy import make_url

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
OURS = (*AIRFLOW, "init", "sample", "sandbox")
SECRETS: dict[str, dict[str, str]] = COMPOSE["secrets"]
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
    by_command: list[str]  # the variables for options that Airflow takes from a command


ASK_AIRFLOW = """
import contextlib, io, json, os, sys
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf
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
    "by_command": [f"AIRFLOW__{section}__{key}_CMD".upper()
                   for section, key in conf.sensitive_config_values],
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
    made = re.search(r"mkdir -p (.*) \\\n\s+&& chown -R segue:0 (.*) \\\n", dockerfile)
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


def test_a_secret_is_a_file_of_a_folder_that_has_no_default():
    """Compose stops and says what to do: nothing starts with a password that is published."""
    for name, secret in SECRETS.items():
        assert re.fullmatch(
            rf"\$\{{SECRETS_FOLDER:\?run docker/make-env first}}/{name}", secret["file"]
        )


@every_service
def test_a_variable_holds_no_secret(service):
    """`docker inspect` shows variables: the look-alikes' connections have the published ones."""
    for name, value in SERVICES[service].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY|SQL_ALCHEMY_CONN|LEDGER", name):
            assert name.endswith(("_CMD", "_FILE")), name
            assert not VARIABLE.search(value)


@every_service
def test_a_service_has_the_secrets_that_it_reads(service):
    text = json.dumps([SERVICES[service].get("environment"), SERVICES[service].get("command")])
    read = set(re.findall(r"/run/secrets/(\w+)", text))
    read |= {"postgres_password"} if "docker/database-url" in text else set()
    read |= {"airflow_admin_password"} if "docker/init.sh" in text else set()
    assert read == set(SERVICES[service].get("secrets", ()))
    assert read <= SECRETS.keys()


def test_airflow_takes_these_options_from_a_command(airflow_reads):
    """Of any other option it would ignore …_CMD in silence."""
    environment = SERVICES["scheduler"]["environment"]
    commands = {name for name in environment if name.endswith("_CMD")}
    assert commands >= {"AIRFLOW__CORE__FERNET_KEY_CMD", "AIRFLOW__SEGUE__SECRET_CMD"}
    assert commands <= set(airflow_reads.by_command)


def made_env(folder: Path) -> str:
    """Run docker/make-env in a folder, and return what it says."""
    (folder / "docker").mkdir(exist_ok=True)
    script = shutil.copy(ROOT / "docker/make-env", folder / "docker")
    return subprocess.run([script], check=True, capture_output=True, text=True).stdout


def test_make_env_makes_every_secret_once(tmp_path):
    assert "wrote  .secrets/segue_secret" in made_env(tmp_path)
    folder = tmp_path / ".secrets"
    texts = {file.name: file.read_text() for file in folder.iterdir()}
    assert texts.keys() == SECRETS.keys()
    assert len(set(texts.values())) == len(texts)
    assert "kept   .secrets/segue_secret" in made_env(tmp_path)
    assert {file.name: file.read_text() for file in folder.iterdir()} == texts
    assert (tmp_path / ".env").read_text() == "SECRETS_FOLDER=./.secrets\n"
    assert {".secrets/", ".env"} <= set((ROOT / ".gitignore").read_text().split())


def test_what_make_env_makes_fits(tmp_path):
    """A user of a container reads a file as others do, and nobody else on the host gets there."""
    made_env(tmp_path)
    folder = tmp_path / ".secrets"
    Fernet((folder / "airflow_fernet_key").read_text())
    assert len((folder / "airflow_jwt_secret").read_text()) >= 64  # as the signature's hash
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("variable", "driver", "database"),
    [
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "postgresql+psycopg2", "airflow"),
        ("AIRFLOW__SEGUE__LEDGER_CMD", "postgresql+psycopg", "segue"),
    ],
)
def test_a_database_s_password_may_have_any_characters(
    monkeypatch, capsys, variable, driver, database
):
    """Where `p@ss/1` as it is would be another host."""
    password = "p@ss/w:rd?#%$ 'x\"ä&=+"
    script, *arguments = SERVICES["scheduler"]["environment"][variable].split()
    monkeypatch.setattr("sys.argv", [script, *arguments])
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: password + "\n")
    runpy.run_path(str(ROOT / script.removeprefix("/opt/segue/")))
    url = make_url(capsys.readouterr().out)
    assert (url.drivername, url.host, url.database) == (driver, "postgres", database)
    assert (url.username, url.password) == ("segue", password)


@every_service
def test_images_have_a_version(service):
    """A tag that moves from day to day makes two machines two programs."""
    image = SERVICES[service]["image"]
    assert re.search(r":v?\d+\.\d+\S*@sha256:[0-9a-f]{64}$", image) or service in OURS


def test_one_service_builds_the_image_of_all_of_ours():
    assert [service for service in SERVICES if "build" in SERVICES[service]] == ["init"]
    assert {SERVICES[service]["image"] for service in OURS} == {"segue:dev"}
    assert {SERVICES[service]["pull_policy"] for service in OURS} == {"never"}


@every_service
def test_a_service_may_do_no_more_than_a_user(service):
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[service]["read_only"] is True
    assert service in OURS or re.fullmatch(r"[1-9]\d*:\d+", SERVICES[service]["user"])


@every_service
def test_a_service_is_bounded(service):
    assert {"memory", "pids"} <= SERVICES[service]["deploy"]["resources"]["limits"].keys()


@pytest.mark.parametrize("service", OURS)
def test_what_a_service_writes_is_a_volume_or_in_memory(service):
    writable = {target for _, target in named_volumes(service)} | set(SERVICES[service]["tmpfs"])
    environment = SERVICES[service].get("environment", {})
    folders = {environment.get("AIRFLOW_HOME", "/opt/airflow")} if environment else set()
    assert folders | {"/tmp"} <= writable  # the container's own


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
        environment[name].split()[-1]
        for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "AIRFLOW__SEGUE__LEDGER_CMD")
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
    by_command = {"SEGUE_LEDGER", "SEGUE_SECRET"}
    environment = set(SERVICES["scheduler"]["environment"])
    assert documented - by_command <= environment
    assert {f"AIRFLOW__{name.replace('_', '__')}_CMD" for name in by_command} <= environment


def test_the_image_has_what_it_copies():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [
        p
        for line in re.findall(r"^COPY (?!--from=)(.*)$", dockerfile, re.MULTILINE)
        for p in line.split()[:-1]
    ]
    allowed = set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert set(copied) == allowed


def test_the_image_installs_by_hash_and_does_not_run_as_root():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["50000:0"]
    base = r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-\w+-\w+@sha256:[0-9a-f]{64}$"
    assert re.search(base, dockerfile, re.MULTILINE)
