#!/usr/bin/env python3
"""Kills the server that writes, again and again, while messages are sent to a topic that it takes in.

Two servers share a folder as their object store, and take in a topic of a real broker. Each message that the broker
has acknowledged must be an event of the log, once. Needs Java and Maven for the broker, `pip install confluent-kafka`,
and `cargo build --release --features kafka,object-store`:

    loadtest/kafka/kills.py [KILLS [MESSAGES_A_SECOND]]
"""

import collections
import csv
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "qianmian"
LEASE = 2
TOPIC = "shop.events"


def until(holds, seconds=120):
    begun = time.monotonic()
    while not (found := holds()):
        if time.monotonic() > begun + seconds:
            raise SystemExit("it does not happen")
        time.sleep(0.02)
    return found


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Servers:
    """A broker, and two servers that take in a topic of it."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.broker = f"127.0.0.1:{free_port()}"
        self.running = {}

    def __enter__(self):
        command = [HERE / "broker.sh", self.broker.split(":")[1], str(free_port()), self.work / "broker"]
        self.start("broker", command, {})
        admin = AdminClient({"bootstrap.servers": self.broker, "log_level": 0})
        until(lambda: admin.poll(0.1) or has_brokers(admin))
        admin.create_topics([NewTopic(TOPIC, num_partitions=6, replication_factor=1)])[TOPIC].result()
        return self

    def __exit__(self, *_):
        # Only what this script has started.
        for process in self.running.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self, name, command, variables):
        with open(self.work / f"{name}.log", "a") as log:
            environment = {**os.environ, **variables}
            self.running[name] = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=environment)

    def serve(self, name):
        variables = {
            "QIANMIAN_LOGGING__FORMAT": "json",
            "QIANMIAN_SERVE__ADMIN_LISTEN": "",
            "QIANMIAN_TRAIN__AUTOMATIC": "false",
            "QIANMIAN_OBJECT_STORE__LEASE_SECONDS": str(LEASE),
            "QIANMIAN_OBJECT_STORE__EVERY_MS": "200",
            "QIANMIAN_KAFKA__BROKERS": self.broker,
            "QIANMIAN_KAFKA__EVENTS": TOPIC,
        }
        command = [PROGRAM, "serve", "--data", self.work / name, "--store", f"file://{self.work}/shared"]
        self.start(name, [*command, "--listen", "127.0.0.1:0"], variables)

    def count(self, name, message):
        """How often a server has logged a message."""
        lines = (self.work / f"{name}.log").read_text().splitlines()
        return sum(json.loads(line)["fields"].get("message") == message for line in lines if line.startswith("{"))

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def events(self, name):
        """How often the log of a server has each event, by its id."""
        out = self.work / "log.csv"
        command = [PROGRAM, "export", "log", out, "--data", self.work / name]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        with open(out) as rows:
            return collections.Counter(row["event_id"] for row in csv.DictReader(rows))


def has_brokers(admin):
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except Exception:
        return False


class Sending(threading.Thread):
    """Sends messages, and notes those that the broker has acknowledged."""

    def __init__(self, broker, a_second):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True, "linger.ms": 5})
        self.a_second, self.acknowledged, self.is_ending = a_second, set(), False
        self.start()

    def run(self):
        number = 0
        while not self.is_ending:
            for _ in range(self.a_second // 50):
                name = f"e-{number}"
                user, item = random.randrange(5000), random.randrange(500)
                value = {"event_id": name, "kind": "EVENT_KIND_VIEW", "item_id": f"item-{item}"}
                self.producer.produce(
                    TOPIC, key=f"user-{user}", value=json.dumps(value),
                    callback=lambda error, _, name=name: error or self.acknowledged.add(name),
                )
                number += 1
            self.producer.poll(0)
            time.sleep(0.02)
        self.producer.flush()

    def end(self):
        self.is_ending = True
        self.join()


def main(kills=100, a_second=1000):
    with Servers() as servers:
        servers.serve("one")
        until(lambda: servers.count("one", "serving"))
        servers.serve("two")
        until(lambda: servers.count("two", "serving"))
        sending = Sending(servers.broker, a_second)
        writer, other = "one", "two"
        gaps = []
        for _ in range(kills):
            time.sleep(random.uniform(0, 1.5))
            before = servers.count(other, "this server writes")
            servers.kill(writer)
            killed = time.monotonic()
            until(lambda: servers.count(other, "this server writes") > before)
            gaps.append(time.monotonic() - killed)
            opened = servers.count(writer, "serving")
            servers.serve(writer)
            until(lambda: servers.count(writer, "serving") > opened)
            writer, other = other, writer
        time.sleep(2)
        sending.end()
        acknowledged = sending.acknowledged

        # Until everything is taken in.
        time.sleep(10)
        for name in [other, writer]:
            servers.kill(name)
        found = servers.events(writer)
        lost = len(acknowledged - found.keys())
        twice = sum(times > 1 for times in found.values())
        print(f"{kills} kills, {len(acknowledged)} messages acknowledged by the broker")
        print(f"in the log: {len(found)}; lost: {lost}; more than once: {twice}")
        print(f"until another server writes: median {statistics.median(gaps):.1f} s, longest {max(gaps):.1f} s; lease {LEASE} s")
        if lost or twice:
            raise SystemExit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
