#!/usr/bin/env python3
"""Measures servers that take in a topic of a real Kafka broker.

Needs Java and Maven for the broker, `pip install confluent-kafka`, and
`cargo build --release --features kafka,object-store`:

    loadtest/kafka/topics.py kills [KILLS [MESSAGES_A_SECOND]]   the server that writes is killed, again and again, and
                                 another takes its place: each message that the broker has must be an event, once
    loadtest/kafka/topics.py intake [MESSAGES]                   how many messages a second one server takes in
"""

import collections
import csv
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "qianmian"
LEASE = 2
TOPIC = "shop.events"


def until(holds, seconds=60):
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

    def __exit__(self, failed, *_):
        # Only what this script has started.
        for process in self.running.values():
            process.kill()
            process.wait()
        if failed:
            print(f"what was written stays in {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)

    def start(self, name, command, variables):
        with open(self.work / f"{name}.log", "a") as log:
            environment = {**os.environ, **variables}
            self.running[name] = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=environment)

    def serve(self, name, **settings):
        variables = {
            "QIANMIAN_LOGGING__FORMAT": "json",
            "QIANMIAN_SERVE__ADMIN_LISTEN": "",
            "QIANMIAN_TRAIN__AUTOMATIC": "false",
            "QIANMIAN_OBJECT_STORE__LEASE_SECONDS": str(LEASE),
            "QIANMIAN_OBJECT_STORE__EVERY_MS": "200",
            "QIANMIAN_KAFKA__BROKERS": self.broker,
            "QIANMIAN_KAFKA__EVENTS": TOPIC,
            **settings,
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
                self.producer.produce(
                    TOPIC, key=f"user-{random.randrange(5000)}", value=event(name, f"item-{random.randrange(500)}"),
                    callback=lambda error, _, name=name: error or self.acknowledged.add(name),
                )
                number += 1
            self.producer.poll(0)
            time.sleep(0.02)
        self.producer.flush()

    def end(self):
        self.is_ending = True
        self.join()


def kills(kills=100, a_second=1000):
    with Servers() as servers:
        servers.serve("one")
        until(lambda: servers.count("one", "serving"))
        servers.serve("two")
        until(lambda: servers.count("two", "serving"))
        sending = Sending(servers.broker, a_second)
        # Until all that the first one has is uploaded once, no other takes its place.
        time.sleep(3)
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


def intake(messages=1_000_000):
    """Takes in what is in the topic already."""
    with Servers() as servers:
        producer = Producer({"bootstrap.servers": servers.broker, "linger.ms": 20, "queue.buffering.max.messages": 2_000_000})
        size = 0
        for number in range(messages):
            value = event(f"e-{number}", f"item-{random.randrange(20_000)}")
            size += len(value)
            producer.produce(TOPIC, key=f"user-{random.randrange(100_000)}", value=value)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush()
        admin = f"127.0.0.1:{free_port()}"
        servers.serve("one", QIANMIAN_SERVE__ADMIN_LISTEN=admin)
        until(lambda: servers.count("one", "serving"))
        began = time.monotonic()
        until(lambda: taken_in(admin) >= messages)
        seconds = time.monotonic() - began
        stat = pathlib.Path(f"/proc/{servers.running['one'].pid}/stat").read_text().rsplit(") ")[1].split()
        processors = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        print(f"{messages} messages of {size / messages:.0f} bytes: {messages / seconds:.0f} a second; {processors:.1f} s of the processors")


def taken_in(admin):
    """The messages that a server has taken in since it was started."""
    page = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
    return sum(float(value) for value in re.findall(r"^qianmian_topic_messages_total\{.*\} (\S+)", page, re.M))


def event(name, item):
    return json.dumps({"event_id": name, "kind": "EVENT_KIND_VIEW", "item_id": item})


if __name__ == "__main__":
    verbs = {"kills": kills, "intake": intake}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        raise SystemExit(__doc__)
    verbs[sys.argv[1]](*map(int, sys.argv[2:]))
