#!/usr/bin/env python3
"""Measures how long a server takes to open a store: from all of its log, and from a checkpoint.

Needs `cargo build --release --bins`:

    loadtest/opening.py DATA [ROUNDS]     DATA: a folder with a store, which gets a checkpoint
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "qianmian"


def served(data):
    """What a server logs that opens a store and ends at once, by its message; and its peak of memory in MiB."""
    command = [PROGRAM, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    environment = {**os.environ, "QIANMIAN_TRAIN__AUTOMATIC": "false", "QIANMIAN_LOGGING__FORMAT": "json"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(list(map(str, command)), env=environment, stderr=log)
        try:
            while "serving" not in messages(log):
                if server.poll() is not None:
                    raise SystemExit("the server ended")
                time.sleep(0.1)
            status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
            peak = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
            server.terminate()
            server.wait(600)
        finally:
            if server.poll() is None:
                server.kill()
            server.wait()
        return messages(log), peak


def messages(log):
    log.seek(0)
    lines = [json.loads(line)["fields"] for line in log if line.startswith("{")]
    return {line.get("message"): line for line in lines}


def main(data, rounds=3):
    data = pathlib.Path(data)
    checkpoint = data / "stores" / "default" / "checkpoint"
    for name, has_checkpoint in [("all of the log", False), ("a checkpoint", True)]:
        opened = []
        for _ in range(int(rounds)):
            if not has_checkpoint:
                checkpoint.unlink(missing_ok=True)
            logged, peak = served(data)
            opened.append((logged["store open"]["seconds"], peak))
            written = logged.get("a checkpoint is written")
        seconds = statistics.median(seconds for seconds, _ in opened)
        replayed = logged["store open"]["replayed"]
        print(f"from {name}: median {seconds:.2f} s, {replayed} records replayed; "
              f"peak of memory {max(peak for _, peak in opened)} MiB")
        if written:
            size = checkpoint.stat().st_size / 2**20
            print(f"a checkpoint of {size:.0f} MiB is written in {written['seconds']:.2f} s")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
