"""``segue sandbox``: it answers where it says, and stops when asked."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

COMMAND = [sys.executable, "-m", "segue.cli.main", "sandbox", "--smtp-port", "0"]


def test_it_serves_the_inbox_until_ctrl_c(tmp_path):
    line = [*COMMAND, "--http-port", "0", "--folder", str(tmp_path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        printed = iter(process.stdout.readline, "")
        url = next(found[0] for text in printed if (found := re.search(r"http://\S+", text)))
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors == ""


def test_a_port_that_is_taken_is_one_message():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = [*COMMAND, "--http-port", str(taken.getsockname()[1])]
        found = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith("Error: ")
    assert "Traceback" not in found.stderr
    assert "--http-port" in found.stderr
