#!/usr/bin/env python3
"""Measures a synthetic store, and compares it with what `qianmian plan` predicts of it.

Needs `cargo build --release --bins`:

    loadtest/plan.py USERS ITEMS EVENTS [DATA]     DATA: a folder with such a store, trained already;
                                                   it loses its checkpoint
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"


def run(program, *arguments, **variables):
    began = time.monotonic()
    command = [PROGRAMS / program, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **variables})
    return done.stdout, time.monotonic() - began


def measured(data):
    """What a server says of a store, once it has opened it."""
    admin = "127.0.0.1:50962"
    command = [PROGRAMS / "qianmian", "serve", "--data", data, "--listen", "127.0.0.1:50961", "--admin-listen", admin]
    environment = {**os.environ, "QIANMIAN_TRAIN__AUTOMATIC": "false", "QIANMIAN_LOGGING__FORMAT": "json"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, env=environment, stderr=log)
        try:
            opened = None
            while opened is None:
                time.sleep(0.2)
                log.seek(0)
                lines = [json.loads(line)["fields"] for line in log if line.startswith("{")]
                found = [line["seconds"] for line in lines if line.get("message") == "store open"]
                opened = found[0] if any(line.get("message") == "serving" for line in lines) else None
            time.sleep(5)
            page = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
        finally:
            server.kill()
            server.wait()
    parts = {name: float(value) for name, value in re.findall(r'qianmian_memory_bytes\{.*part="(.*?)".*\} (\S+)', page)}
    figure = lambda name: float(re.search(rf"^qianmian_{name}(?:\{{.*\}})? (\S+)", page, re.M)[1])
    return {
        "memory_bytes": figure("resident_memory_bytes"),
        "log_bytes": figure("log_bytes"),
        "model_bytes": float(re.search(r"^qianmian_model_bytes\{.*\} (\S+)", page, re.M)[1]),
        "checkpoint_seconds": opened,
    }, parts


def main(users, items, events, data=None):
    work = pathlib.Path(tempfile.mkdtemp())
    try:
        training = None
        if data is None:
            data = work / "data"
            run("qianmian-bench", "synth", "--users", users, "--items", items, "--events", events, work / "log.parquet")
            run("qianmian", "import", work / "log.parquet", "--data", data)
            _, training = run("qianmian", "train", "--data", data, QIANMIAN_TRAIN__PREPARE_SECONDS="20")
        found, parts = measured(data)
        # As a new version does, which folds the log anew.
        (pathlib.Path(data) / "stores" / "default" / "checkpoint").unlink()
        found["upgrading_seconds"] = measured(data)[0]["checkpoint_seconds"]
        if training is not None:
            found["training_seconds"] = training
        for part, size in parts.items():
            print(f"  {part:12} {size / 2**20:9.1f} MiB")
        plan = ["plan", "--users", users, "--items", items, "--events", events, "--json"]
        predicted = json.loads(run("qianmian", *plan)[0])["store"]
        for name, value in found.items():
            print(f"{name:18} {value:16,.1f}, predicted {predicted[name]:16,.1f}: {predicted[name] / value:.2f} of it")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
