"""``segue sandbox``: look-alikes of the vendors and a mail server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.extras import extra


def sandbox(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; keep it on loopback.")
    ] = "127.0.0.1",
    http_port: Annotated[
        int,
        typer.Option(
            "--http-port", min=0, max=65535, help="Port of the inbox and the APIs; 0: a free one."
        ),
    ] = 8090,
    smtp_port: Annotated[
        int,
        typer.Option(
            "--smtp-port", min=0, max=65535, help="Port of the mail server; 0: a free one."
        ),
    ] = 1025,
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Keep what is received here.")
    ] = None,
) -> None:
    """Serve look-alikes of the vendors, of any HTTP API and of a mail server, for trying out.

    It prints where each is and the login that it takes, and runs until Ctrl-C. Without --folder
    everything received is forgotten at the end.
    """
    with extra("sandbox", "segue sandbox"):
        from segue.sandbox.server import run

    run(host, http_port, smtp_port, folder)
