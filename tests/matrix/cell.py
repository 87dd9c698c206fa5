"""One cell of the matrix: an environment, the wheel in it, a first run, a look over it, tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLISHED = "https://raw.githubusercontent.com/apache/airflow/constraints-{airflow}/constraints-{python}.txt"
# what teams have beside Airflow: their packages hold versions back, as in Airflow's own files
EXTRAS = (
    "amazon,celery,cncf-kubernetes,common-io,common-sql,databricks,fab,git,google,http,"
    "microsoft-azure,openlineage,postgres,redis,slack,smtp,snowflake,ssh,standard,statsd"
)
BESIDE = (f"apache-airflow[{EXTRAS}]", "apache-airflow-providers-amazon[s3fs,aiobotocore]")
WHOLE = "operators delivery runs workflows channels/email"
SINGLE = "airflow_compat dags provider_info without_a_scheduler"
UNIT_TESTS = [f"tests/unit/{name}" for name in WHOLE.split()]
UNIT_TESTS += [f"tests/unit/test_{name}.py" for name in SINGLE.split()]
TEST_TOOLS = ("duckdb>=2", "hypothesis", "jsonschema", "pytest", "pytest-timeout", "pytest-xdist")
LOWEST = "lowest"


@dataclass(frozen=True, slots=True)
class Cell:
    """An Airflow and a Python; ``after`` is the day after that Airflow's release."""

    airflow: str
    python: str
    after: str

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.airflow}-{self.python}"


RELEASES = {
    "3.1.8": "2026-03-13",
    "3.2.2": "2026-05-31",
    "3.3.2": "2026-09-19",
}
CELLS = [
    Cell(airflow, python, after)
    for airflow, after in RELEASES.items()
    for python in ("3.11", "3.12", "3.13")
]
CELLS += [Cell(LOWEST, "3.11", ""), Cell("3.4.0b2", "3.11", "2026-11-30")]  # and what comes next


@dataclass(slots=True)
class Result:
    """What each step came to; a dash where it was not reached."""

    packages: str = "–"
    installed: str = "–"
    run: str = "–"
    checked: str = "–"
    tests: str = "–"
    failed: bool = False


class StepFailed(Exception):
    """A command of a step ended with an error; the text is its last lines."""


def build_wheel(folder: Path) -> Path:
    """Return the wheel of this tree, built into ``folder``."""
    command("uv", "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


def try_cell(cell: Cell, wheel: Path, folder: Path, *, tests: bool) -> Result:
    """Take a cell through its steps, up to the first that fails."""
    folder.mkdir()
    result, bench = Result(), Bench(cell, wheel, folder)
    steps: list[tuple[str, Callable[[], str]]] = [
        ("packages", bench.prepare),
        ("installed", bench.install),
        ("run", bench.run),
        ("checked", bench.check),
        *([("tests", bench.unit_tests)] if tests else []),
    ]
    try:
        for name, step in steps:
            setattr(result, name, "**failed**")
            setattr(result, name, step())
    except StepFailed as error:
        print(f"{cell.name}, {name}:\n{error}", flush=True)
        result.failed = True
    finally:
        shutil.rmtree(folder / "venv", ignore_errors=True)
    return result


class Bench:
    """The environment and the folders of one cell."""

    def __init__(self, cell: Cell, wheel: Path, folder: Path) -> None:
        self.cell, self.wheel, self.folder = cell, wheel, folder
        self.bin = folder / "venv" / "bin"
        self.limits: list[object] = []
        self.seconds: list[float] = []  # of the steps that a user takes
        mail = {"disable_ssl": True, "disable_tls": True}
        self.ports = free_port(), free_port()
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.ports[1], "extra": mail}
        self.env = {
            **{name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")},
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        }

    def prepare(self) -> str:
        """Make the environment; return which versions hold in it."""
        command(
            "uv", "venv", "--quiet", "--seed", "--python", self.cell.python, self.folder / "venv"
        )
        if self.cell.airflow == LOWEST:
            self.limits = ["--resolution", "lowest-direct"]
            return "the lowest that Segue names"
        constraints = self.folder / "constraints.txt"
        url = PUBLISHED.format(airflow=self.cell.airflow, python=self.cell.python)
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                constraints.write_bytes(answer.read())
            self.limits = ["--constraint", constraints]
            return "published constraints"
        except urllib.error.URLError:
            self._resolve(constraints)
        return f"of {self.cell.after}"

    def _resolve(self, constraints: Path) -> None:
        """Write the versions that Airflow and what is beside it had the day after the release."""
        wanted = self.folder / "wanted.in"
        wanted.write_text("\n".join([*BESIDE, f"apache-airflow=={self.cell.airflow}"]))
        command(
            *("uv", "pip", "compile", "--quiet", wanted, "--python-version", self.cell.python),
            *("--exclude-newer", self.cell.after, "--no-annotate", "--no-header", *self._early()),
            *("--output-file", constraints),
        )
        newest = ["--exclude-newer", self.cell.after]
        self.limits = ["--constraint", constraints, *newest, *self._early()]

    def _early(self) -> list[str]:
        is_early = not self.cell.airflow.replace(".", "").isdigit()
        return ["--prerelease", "allow"] if is_early else []

    def install(self) -> str:
        """Install Airflow, then the wheel beside it as its users do; return what it brought."""
        if self.cell.airflow == LOWEST:
            return self._install_lowest()
        self._pip(f"apache-airflow=={self.cell.airflow}", *BESIDE[:1])
        before = self._versions()
        pip = ("python", "-m", "pip", "install", "--quiet", *self.limits[:2])
        self._timed(*pip, f"apache-airflow=={self.cell.airflow}", f"{self.wheel}[sandbox]")
        brought = len(self._versions()) - len(before)
        self._unchanged(before)
        return f"{brought} packages"

    def _unchanged(self, before: dict[str, str]) -> None:
        after = self._versions()
        changed = [name for name, version in before.items() if after[name] != version]
        if changed:
            raise StepFailed(f"other versions than before: {', '.join(changed)}")

    def _install_lowest(self) -> str:
        project = ["--requirements", ROOT / "pyproject.toml", "--extra", "sandbox"]
        self._pip(*project, "--extra", "postgres")
        self._pip(self.wheel, limits=["--no-deps"])
        return f"{len(self._versions())} in all"

    def _pip(self, *packages: object, limits: list[object] | None = None) -> None:
        python = self.bin / "python"
        held = self.limits if limits is None else limits
        command("uv", "pip", "install", "--quiet", "--python", python, *held, *packages)

    def _versions(self) -> dict[str, str]:
        text = command("uv", "pip", "list", "--python", self.bin / "python", "--format", "json")
        return {row["name"]: row["version"] for row in json.loads(text)}

    def run(self) -> str:
        """Let a first project's workflow run once against the sandbox, and nothing else be done."""
        http, smtp = self.ports
        self._call("airflow", "db", "migrate")  # Airflow's own
        self._timed("segue", "init")
        sandbox = subprocess.Popen(
            [self.bin / "segue", "sandbox", "--http-port", str(http), "--smtp-port", str(smtp)],
            env=self.env,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(smtp)
            self._timed("airflow", "dags", "test", "welcome_gold")
            rows = json.loads(self._call("segue", "deliveries", "--format", "json"))
        finally:
            sandbox.terminate()
            sandbox.wait()
        sent = sum(row["outcome"] == "delivered" for row in rows)
        if sent != 2:
            raise StepFailed(f"{sent} mails instead of 2: {rows}")
        return f"2 mails; {' + '.join(f'{seconds:.0f}' for seconds in self.seconds)} s"

    def check(self) -> str:
        """Install the extras, which change nothing either, and have the whole looked over."""
        if self.cell.airflow != LOWEST:
            before = self._versions()
            extras = f"{self.wheel}[sandbox,postgres,s3,gcs,azure]"
            self._pip(f"apache-airflow=={self.cell.airflow}", extras)
            self._unchanged(before)
        self._call("airflow", "dags", "reserialize")
        checks = json.loads(self._call("segue", "doctor", "--format", "json", codes=(0, 2)))
        wrong = [row for row in checks if row["result"] == "failed" and row["check"] != "triggerer"]
        if wrong:
            raise StepFailed(json.dumps(wrong, indent=1))
        return "well"

    def unit_tests(self) -> str:
        """Run the unit tests of what decides, sends, or asks Airflow for something."""
        self._pip(*TEST_TOOLS, limits=self.limits[:2] if self.cell.airflow != LOWEST else [])
        options = ["-q", "-m", "not slow and not postgres", "-p", "no:cacheprovider", "-n", "2"]
        words = ("python", "-m", "pytest", *options, "--tb", "short", *UNIT_TESTS)
        text = self._call(*words, cwd=ROOT)
        return re.findall(r"(\d+ passed.*?)(?:, \d+ warnings?)? in ", text)[-1]

    def _timed(self, program: str, *arguments: object) -> None:
        began = time.monotonic()
        self._call(program, *arguments)
        self.seconds.append(time.monotonic() - began)

    def _call(
        self,
        program: str,
        *arguments: object,
        codes: tuple[int, ...] = (0,),
        cwd: Path | None = None,
    ) -> str:
        where = cwd or self.folder
        return command(self.bin / program, *arguments, env=self.env, codes=codes, cwd=where)


def command(
    *words: object,
    env: dict[str, str] | None = None,
    codes: tuple[int, ...] = (0,),
    cwd: Path | None = None,
) -> str:
    """Return what a command prints; raise StepFailed where it ends otherwise than it should."""
    ended = subprocess.run(
        [str(word) for word in words], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )
    if ended.returncode not in codes:
        lines = [*ended.stdout.splitlines()[-40:], *ended.stderr.splitlines()[-40:]]
        raise StepFailed("\n".join([" ".join(map(str, words)), *lines]))
    return ended.stdout


def free_port() -> int:
    """Return a port of this host that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 60) -> None:
    """Wait until somebody listens at a port of this host."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise StepFailed(f"nobody listens at port {port}")
