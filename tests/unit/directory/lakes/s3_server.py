"""A server that speaks S3, with a folder's files in the bucket `lake`, each as old as its file.

In a process of its own: a client that keeps Python's lock while it waits would wait for ever for a
server in its own. Run as ``python s3_server.py FOLDER``; prints its port.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

root = Path(sys.argv[1])
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
store.create_bucket("lake", "us-east-1")
for path in root.rglob("*"):
    if path.is_file():
        stored = store.put_object("lake", path.relative_to(root).as_posix(), path.read_bytes())
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        stored.last_modified = modified.replace(tzinfo=None)
print(server.get_host_and_port()[1], flush=True)
time.sleep(600)
