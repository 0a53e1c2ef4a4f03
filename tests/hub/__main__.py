"""A Hub started by hand: ``python -m hub`` in ``tests/`` prints the variables that a client needs, until Ctrl-C."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

from .server import Server

for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell that put this in the background ignores Ctrl-C
    signal.signal(number, signal.default_int_handler)
with tempfile.TemporaryDirectory(prefix="hub-") as folder:
    server = Server()
    hub = server.fresh(Path(folder))
    server.start()
    print(f"export HF_ENDPOINT={hub.endpoint} HF_TOKEN={hub.token} HF_HOME={folder}/home", flush=True)
    try:
        server.thread.join()
    except KeyboardInterrupt:
        server.stop()
        for call in hub.calls:
            print(call)
