#!/usr/bin/env python3
"""Measures servers that take in a topic of a real Kafka broker.

Needs Java and Maven for the broker, `pip install confluent-kafka`, and
`cargo build --release --features kafka,object-store`:

    loadtest/kafka/topics.py kills [KILLS [MESSAGES_A_SECOND]]   the server that writes is killed, again and again, and
                                 another takes its place: each message that the broker has must be an event, once
    loadtest/kafka/topics.py intake [MESSAGES]                   how many messages a second one server takes in
    loadtest/kafka/topics.py leaders [KILLS [MESSAGES_A_SECOND]] three brokers, of which one leader after the other is
                                 killed and started again: each message that the brokers have must be an event, once
    loadtest/kafka/topics.py secured                             a broker with TLS, passwords and access control, and a
                                 server with the rights that docs/src/kafka.md names; without them, it says so. Needs
                                 openssl, and a build with `--features kafka,object-store,rdkafka/ssl`
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
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic
from confluent_kafka.admin import ResourcePatternType, ResourceType, ScramCredentialInfo, ScramMechanism
from confluent_kafka.admin import UserScramCredentialUpsertion

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "qianmian"
LEASE = 2
TOPIC = "shop.events"
# Brokers are killed: that is no news.
QUIET = {"log_level": 0}


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
    """Brokers, and servers that take in a topic of them."""

    def __init__(self, brokers=1):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.ports = [(free_port(), free_port()) for _ in range(brokers)]
        self.broker = ",".join(f"127.0.0.1:{port}" for port, _ in self.ports)
        self.running = {}

    def __enter__(self):
        for number in range(len(self.ports)):
            self.start_broker(number)
        self.admin = AdminClient({**QUIET, "bootstrap.servers": self.broker})
        until(lambda: brokers_of(self.admin) == len(self.ports))
        topic = NewTopic(TOPIC, num_partitions=6, replication_factor=len(self.ports))
        self.admin.create_topics([topic])[TOPIC].result()
        return self

    def start_broker(self, number, more=()):
        """Starts a broker: of several, each message is at two before it is acknowledged."""
        folder = self.work / f"broker-{number}"
        folder.mkdir(exist_ok=True)
        voters = ",".join(f"{node + 1}@127.0.0.1:{port}" for node, (_, port) in enumerate(self.ports))
        least = min(len(self.ports), 2)
        lines = [f"node.id={number + 1}", f"controller.quorum.voters={voters}", f"min.insync.replicas={least}", *more]
        (folder / "more.properties").write_text("\n".join(lines) + "\n")
        port, controller = self.ports[number]
        self.start(f"broker-{number}", [HERE / "broker.sh", port, controller, folder], {})

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

    def reason(self, name, message):
        """Why a server has logged a message; none where it has not."""
        lines = (self.work / f"{name}.log").read_text().splitlines()
        logged = [json.loads(line)["fields"] for line in lines if line.startswith("{")]
        return next((fields["reason"] for fields in logged if fields.get("message") == message), None)

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


def brokers_of(admin):
    """The number of brokers that are there."""
    admin.poll(0.1)
    try:
        return len(admin.list_topics(timeout=1).brokers)
    except Exception:
        return 0


class Sending(threading.Thread):
    """Sends messages, and notes those that the broker has acknowledged."""

    def __init__(self, broker, a_second):
        super().__init__(daemon=True)
        self.producer = Producer({**QUIET, "bootstrap.servers": broker, "enable.idempotence": True, "linger.ms": 5})
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
        print(f"{kills} kills of the server that writes")
        print(f"until another writes: median {statistics.median(gaps):.1f} s, longest {max(gaps):.1f} s; lease {LEASE} s")
        compare(acknowledged, servers.events(writer))


def compare(acknowledged, found):
    """Each message that was acknowledged must be an event, once."""
    lost = len(acknowledged - found.keys())
    twice = sum(times > 1 for times in found.values())
    print(f"messages acknowledged: {len(acknowledged)}; in the log: {len(found)}; lost: {lost}; more than once: {twice}")
    if lost or twice or not acknowledged:
        raise SystemExit(1)


def leaders(kills=30, a_second=1000):
    with Servers(brokers=3) as servers:
        servers.serve("one")
        until(lambda: servers.count("one", "serving"))
        sending = Sending(servers.broker, a_second)
        before = leader_of(servers.admin, 0)
        changes = 0
        for kill in range(kills):
            time.sleep(random.uniform(0, 2))
            killed = leader_of(servers.admin, kill % 6)
            servers.kill(f"broker-{killed}")
            # Two are left: enough to go on with.
            until(lambda: leader_of(servers.admin, kill % 6) not in (killed, None))
            time.sleep(random.uniform(0, 2))
            servers.start_broker(killed)
            until(lambda: is_whole(servers.admin))
            after = leader_of(servers.admin, 0)
            changes += after != before
            before = after
        sending.end()
        time.sleep(10)
        servers.kill("one")
        print(f"{kills} leaders killed; partition 0 was led by another {changes} times")
        compare(sending.acknowledged, servers.events("one"))


def partitions_of(admin):
    try:
        return admin.list_topics(TOPIC, timeout=1).topics[TOPIC].partitions
    except Exception:
        return {}


def leader_of(admin, partition):
    """The number of the broker that leads a partition, counted from 0; none where none does."""
    found = partitions_of(admin).get(partition)
    return found.leader - 1 if found and found.leader > 0 else None


def is_whole(admin):
    """Whether all brokers have all of each partition."""
    partitions = partitions_of(admin)
    return len(partitions) == 6 and all(len(of.isrs) == 3 for of in partitions.values())


def secured():
    with Servers() as servers:
        # Who comes over the plain port may do everything; the server comes over the other.
        secured = free_port()
        certificate = certify(servers.work)
        servers.kill("broker-0")
        plain, _ = servers.ports[0]
        servers.start_broker(0, [
            f"listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secured},"
            f"CONTROLLER://127.0.0.1:{servers.ports[0][1]}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secured}",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms=SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config="
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={servers.work}/both.pem",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ])
        until(lambda: brokers_of(servers.admin))
        letters = NewTopic("shop.dead", num_partitions=1, replication_factor=1)
        servers.admin.create_topics([letters])["shop.dead"].result()
        credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion("qianmian", credentials, b"correct horse")
        servers.admin.alter_user_scram_credentials([user])["qianmian"].result()

        settings = {
            "QIANMIAN_KAFKA__BROKERS": f"127.0.0.1:{secured}",
            "QIANMIAN_KAFKA__SECURITY": "SASL_SSL",
            "QIANMIAN_KAFKA__MECHANISM": "SCRAM-SHA-512",
            "QIANMIAN_KAFKA__USERNAME": "qianmian",
            "QIANMIAN_KAFKA__PASSWORD": "correct horse",
            "QIANMIAN_KAFKA__CA": str(certificate),
            "QIANMIAN_KAFKA__DEAD_LETTERS": "shop.dead",
        }
        for name, wrong in [
            ("without rights", {}),
            ("a wrong password", {"QIANMIAN_KAFKA__PASSWORD": "wrong"}),
            ("another authority", {"QIANMIAN_KAFKA__CA": ""}),
            ("without TLS", {"QIANMIAN_KAFKA__SECURITY": "SASL_PLAINTEXT", "QIANMIAN_KAFKA__CA": ""}),
        ]:
            servers.serve(name, **{**settings, **wrong})
            print(f"{name}: {until(lambda: servers.reason(name, 'the topics are not taken in'))}")
            servers.kill(name)

        reading = [AclOperation.DESCRIBE, AclOperation.READ, AclOperation.DESCRIBE_CONFIGS]
        writing = [AclOperation.DESCRIBE, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS]
        rights = [right(TOPIC, operation) for operation in reading]
        rights += [right("shop.dead", operation) for operation in writing]
        for granted in servers.admin.create_acls(rights).values():
            granted.result()
        producer = Producer({**QUIET, "bootstrap.servers": servers.broker, "enable.idempotence": True})
        acknowledged = {f"e-{number}" for number in range(10_000)}
        for name in sorted(acknowledged):
            producer.produce(TOPIC, key=f"user-{random.randrange(500)}", value=event(name, "tea"))
        producer.produce(TOPIC, key="user-1", value="nonsense")
        producer.flush()
        admin = f"127.0.0.1:{free_port()}"
        servers.serve("with rights", **settings, QIANMIAN_SERVE__ADMIN_LISTEN=admin)
        until(lambda: servers.count("with rights", "serving"))
        until(lambda: taken_in(admin) == len(acknowledged) + 1)
        unseen = servers.count("with rights", "how long a topic keeps messages cannot be seen")
        print(f"with rights: {len(acknowledged)} messages taken in, one refused; settings of topics unseen: {unseen}")
        servers.kill("with rights")
        compare(acknowledged, servers.events("with rights"))


def certify(work):
    """Makes a certificate of loopback, and the file of it and its key; returns the former."""
    certificate, key = work / "certificate.pem", work / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    (work / "both.pem").write_text(key.read_text() + certificate.read_text())
    return certificate


def right(topic, operation):
    return AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:qianmian", "*", operation, AclPermissionType.ALLOW
    )


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
    try:
        page = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
    except OSError:
        # It opens its stores anew, to write.
        return 0
    return sum(float(value) for value in re.findall(r"^qianmian_topic_messages_total\{.*\} (\S+)", page, re.M))


def event(name, item):
    return json.dumps({"event_id": name, "kind": "EVENT_KIND_VIEW", "item_id": item})


if __name__ == "__main__":
    verbs = {"kills": kills, "intake": intake, "leaders": leaders, "secured": secured}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        raise SystemExit(__doc__)
    verbs[sys.argv[1]](*map(int, sys.argv[2:]))
