"""How the command line starts, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.models import OptionInfo

from segue.cli import main as cli
from segue.cli.workspace import Workspace

HEAVY = ("airflow", "pandas", "pyarrow", "numpy", "sqlalchemy", "alembic", "fastapi", "jinja2")
COMMANDS = [
    *((), ("validate",), ("snapshots",), ("members",), ("changes",), ("plan",), ("explain",)),
    *(("deliveries",), ("gaps",), ("db",), ("db", "upgrade"), ("sandbox",), ("schema",)),
    *(("simulate",), ("test",)),
]
PROBE = """
import contextlib, io, json, sys
from segue.cli.main import main
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["segue", *arguments, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main()
    answers.append([printed.getvalue(), sorted(set({heavy!r}) & set(sys.modules))])
print(json.dumps(answers))
"""


def command(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    line = [sys.executable, "-m", "segue.cli.main", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=240, check=False, **options)


@pytest.fixture(scope="module")
def helps() -> dict[tuple[str, ...], tuple[str, list[str]]]:
    """What each command's help prints, and what heavy is loaded then: all in one new process."""
    probe = [sys.executable, "-c", PROBE.format(heavy=HEAVY), json.dumps(COMMANDS)]
    found = subprocess.run(probe, capture_output=True, text=True, timeout=240, check=True)
    return dict(zip(COMMANDS, json.loads(found.stdout), strict=True))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_help_imports_nothing_heavy_and_shows_an_example(helps, arguments):
    printed, loaded = helps[arguments]
    assert loaded == []
    assert "Usage: segue" in printed
    if arguments not in [(), ("db",)]:
        assert "Example:" in printed


def test_an_error_is_one_message_on_stderr_and_exit_code_2(home):
    found = command("members", "gild")
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("Error: ")
    assert "there is no segment 'gild'; allowed: gold; did you mean 'gold'?" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_home_that_does_not_exist_is_an_error(segue, tmp_path):
    answer = segue("members", "gold", "--home", str(tmp_path / "nowhere"))
    assert answer.code == 2
    assert "nowhere is not a folder; --home or SEGUE_HOME names" in answer.err


def test_a_wrong_setting_is_an_error(segue, monkeypatch):
    monkeypatch.setenv("SEGUE_NAMESPACE", "Über alles")
    answer = segue("gaps")
    assert answer.code == 2
    assert answer.err.startswith("Error: SEGUE_NAMESPACE is 'Über alles'")


def test_an_unknown_option_is_exit_code_2(segue):
    assert segue("members", "gold", "--format", "xml").code == 2


def test_ctrl_c_ends_with_130(segue, monkeypatch):
    def interrupted(home):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "open", interrupted)
    assert segue("validate").code == 130


def test_a_reader_that_goes_away_is_no_error_message(home):
    rows = "".join(f"c{number:06},x,,,gold,us,no\n" for number in range(50_000))
    home.snapshot("2026-11-23", rows)
    line = f"{sys.executable} -m segue.cli.main members gold --format csv | head -1"
    found = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=240, check=True
    )
    assert found.stdout == "contact_id,opted_in\n"
    assert "rror" not in found.stderr
    assert "Traceback" not in found.stderr


def test_a_pipe_gets_utf_8_whatever_the_locale(home):
    home.snapshot("2026-11-23", "客户,x,,,gold,us,no\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    found = command("members", "gold", "--format", "csv", env=environment, encoding="utf-8")
    assert found.stdout == "contact_id,opted_in\n客户,true\n"


def test_the_version_is_shown(segue):
    assert segue("--version").out.startswith("segue 0.")


def test_every_option_is_named_where_it_is_declared():
    """Versions of typer differ in the names that they derive from a parameter's."""
    derived = [
        f"{command.callback.__name__}({name})"
        for group in (cli.app, cli.snapshots, cli.db)
        for command in group.registered_commands
        for name, hint in get_type_hints(command.callback, include_extras=True).items()
        for option in getattr(hint, "__metadata__", ())
        if isinstance(option, OptionInfo)  # typer takes what comes first for the default
        and not any(str(word).startswith("--") for word in (option.default, *option.param_decls))
    ]
    assert derived == []


def test_a_full_disk_is_an_error_message(home):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "segue.cli.main", "members", "gold"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == 2
    assert b"No space left on device" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_the_process_ends_with_its_code_and_without_python_s_shutdown(home):
    """Whatever still runs then, such as a thread of Arrow with a CSV file, cannot abort it."""
    code = (
        "import atexit, sys, segue.cli.main as cli; sys.modules['__main__'].__file__ = 'segue'; "
        "atexit.register(print, 'shut down'); sys.argv[1:] = ['members', 'nosuch']; cli.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"nosuch" in ended.stderr
    assert ended.stdout == b""


@pytest.mark.parametrize(
    "command", [(), ("forget",), ("snapshots",), ("snapshots", "list"), ("db",), ("stop",)]
)
def test_the_help_shows_no_type_beside_a_flag(segue, command):
    assert "bool" not in segue(*command, "--help").out
