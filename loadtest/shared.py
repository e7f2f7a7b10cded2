#!/usr/bin/env python3
"""Measures servers that share an object store, each host in a network namespace of its own.

The object store is moto's S3-compatible server. Needs root, iproute2, Python with moto[server,s3], boto3 and the
client (`pip install ./clients/python`), and `cargo build --release --features object-store`:

    loadtest/shared.py split [SECONDS [1]]   a server is cut off from the object store while both are written to;
                                         1: with object_store.acknowledge_uploaded
    loadtest/shared.py kill [KILLS]      the server that writes is killed, again and again
    loadtest/shared.py trainer           a trainer is killed in the middle of a training
    loadtest/shared.py follow [EVENTS_A_SECOND]   how far followers are behind; whether all answer alike
"""

import collections
import contextlib
import csv
import ctypes
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import qianmian

PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
LEASE = 10
ID = f"qm{os.getpid()}"
# 192.0.2.0/24 is reserved for examples (RFC 5737), and reaches nothing outside.
ADDRESSES = {"s3": "192.0.2.1", "one": "192.0.2.2", "two": "192.0.2.3", "three": "192.0.2.4", "load": "192.0.2.9"}
S3 = f"http://{ADDRESSES['s3']}:9000"
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Hosts:
    """Network namespaces that a bridge in another one joins, and the programs in them."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.running = {}

    def __enter__(self):
        ip("netns", "add", f"{ID}-net")
        ip("-n", f"{ID}-net", "link", "add", "bridge", "type", "bridge")
        ip("-n", f"{ID}-net", "link", "set", "bridge", "up")
        for host, address in ADDRESSES.items():
            ip("netns", "add", f"{ID}-{host}")
            ip("-n", f"{ID}-net", "link", "add", host, "type", "veth", "peer", "name", "eth", "netns", f"{ID}-{host}")
            ip("-n", f"{ID}-net", "link", "set", host, "master", "bridge", "up")
            ip("-n", f"{ID}-{host}", "address", "add", f"{address}/24", "dev", "eth")
            ip("-n", f"{ID}-{host}", "link", "set", "eth", "up")
            ip("-n", f"{ID}-{host}", "link", "set", "lo", "up")
        # The caller is a host too.
        with open(f"/run/netns/{ID}-load") as namespace:
            # os.setns is there from Python 3.12 on.
            if ctypes.CDLL(None).setns(namespace.fileno(), 0x4000_0000) != 0:
                raise SystemExit("no network namespaces: run this as root")
        self.start("s3", "s3", [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", "9000"], {})
        create = (
            f"import boto3; boto3.client('s3', endpoint_url='{S3}', aws_access_key_id='x', "
            "aws_secret_access_key='x', region_name='us-east-1').create_bucket(Bucket='shop')"
        )
        until(lambda: subprocess.run([sys.executable, "-c", create], capture_output=True).returncode == 0)
        return self

    def __exit__(self, *_):
        # Only what this script has started.
        for process in self.running.values():
            process.kill()
            process.wait()
        for host in [*ADDRESSES, "net"]:
            subprocess.run(["ip", "netns", "del", f"{ID}-{host}"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self, name, host, command, variables):
        with open(self.work / f"{name}.log", "a") as log:
            command = ["ip", "netns", "exec", f"{ID}-{host}", *map(str, command)]
            environment = {**os.environ, **variables}
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def serve(self, host, verb="serve", **settings):
        """Starts a server, or a trainer, on a host."""
        variables = {
            **KEYS,
            "AWS_ENDPOINT_URL": S3,
            "QIANMIAN_LOGGING__FORMAT": "json",
            "QIANMIAN_SERVE__INSECURE": "true",
            "QIANMIAN_SERVE__ADMIN_LISTEN": "",
            "QIANMIAN_TRAIN__AUTOMATIC": "false",
            "QIANMIAN_OBJECT_STORE__ADVERTISE": address(host),
            "QIANMIAN_OBJECT_STORE__LEASE_SECONDS": str(LEASE),
            **settings,
        }
        command = [PROGRAMS / "qianmian", verb, "--store", "s3://shop/path", "--data", self.work / host]
        self.start(host, host, [*command, "--listen", address(host)], variables)

    def kill(self, host):
        process = self.running.pop(host)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def said(self, host, message):
        """The lines that a server has logged with a message."""
        lines = (self.work / f"{host}.log").read_text().splitlines()
        read = [json.loads(line) for line in lines if line.startswith("{")]
        return [line["fields"] for line in read if line["fields"].get("message") == message]

    def between(self, verb, *hosts):
        """Drops the packets between two hosts ("add"), or no more ("del")."""
        for host, other in [hosts, hosts[::-1]]:
            ip("-n", f"{ID}-{host}", "route", verb, "blackhole", f"{ADDRESSES[other]}/32")

    def events(self, host):
        """How often the log of a server has each event, by its id."""
        out = self.work / "log.csv"
        out.unlink(missing_ok=True)
        subprocess.run(
            [PROGRAMS / "qianmian", "export", "log", out, "--data", self.work / host], check=True, capture_output=True
        )
        with open(out) as rows:
            return collections.Counter(row["event_id"] for row in csv.DictReader(rows))


def address(host):
    return f"{ADDRESSES[host]}:50051"


def until(holds, seconds=300):
    begun = time.monotonic()
    while True:
        with contextlib.suppress(Exception):
            found = holds()
            if found:
                return found
        if time.monotonic() > begun + seconds:
            raise SystemExit("it does not happen")
        time.sleep(0.05)


def event(name):
    user, item = random.randrange(500), random.randrange(100)
    return qianmian.Event(user_id=f"user-{user}", item_id=f"item-{item}", event_id=name)


class Writing(threading.Thread):
    """Writes events to one server, one by one, and notes which were acknowledged, and when."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.acknowledged, self.refused = host, {}, collections.Counter()
        self.is_ending = False
        self.start()

    def run(self):
        client = qianmian.Client(address(self.host), timeout=2, retries=False)
        number = 0
        while not self.is_ending:
            name = f"{self.host}-{number}"
            try:
                client.write_events([event(name)])
                self.acknowledged[name] = time.monotonic()
                number += 1
            except Exception as error:
                self.refused[type(error).__name__] += 1
                time.sleep(0.02)

    def end(self):
        self.is_ending = True
        self.join()


def split(seconds=60, acknowledge_uploaded=0):
    """Cuts the server that writes off from the object store; the load reaches both servers."""
    safe = {"QIANMIAN_OBJECT_STORE__ACKNOWLEDGE_UPLOADED": "true" if acknowledge_uploaded else "false"}
    with Hosts() as hosts:
        hosts.serve("one", **safe)
        until(lambda: hosts.said("one", "serving"))
        hosts.serve("two", **safe)
        until(lambda: hosts.said("two", "writes are passed on to another server"))
        # Both are cut off from each other, so that each answers for itself.
        one, two = Writing("one"), Writing("two")
        time.sleep(5)
        hosts.between("add", "one", "s3")
        hosts.between("add", "one", "two")
        cut = time.monotonic()
        until(lambda: max(two.acknowledged.values(), default=0) > cut + 1)
        first_of_two = min(at for at in two.acknowledged.values() if at > cut + 1)
        time.sleep(max(0, seconds - (time.monotonic() - cut)))
        last_of_one = max(one.acknowledged.values())
        print(f"cut off for {seconds} s, with a lease of {LEASE} s")
        print(f"the server that was cut off acknowledged its last event after {last_of_one - cut:.2f} s")
        print(f"the other one acknowledged its first event after {first_of_two - cut:.2f} s")
        print(f"no two servers wrote: {last_of_one < first_of_two}")
        hosts.between("del", "one", "s3")
        hosts.between("del", "one", "two")
        until(lambda: (hosts.work / "one" / "apart").exists())
        until(lambda: hosts.said("one", "serving")[2:])
        print(f"back, it is set aside and copied anew: {len(list((hosts.work / 'one' / 'apart').iterdir())) == 1}")
        one.end()
        two.end()
        time.sleep(5)
        found = [hosts.events(host) for host in ["one", "two"]]
        print(f"both have the same {len(found[0])} events, each once: {found[0] == found[1] and set(found[0].values()) == {1}}")
        acknowledged = {**one.acknowledged, **two.acknowledged}
        lost = [at - cut for name, at in acknowledged.items() if found[1][name] != 1]
        span = f", of {min(lost):.1f} to {max(lost):.1f} s after the cut, in the folder that was set aside" if lost else ""
        print(f"acknowledged: {len(acknowledged)}; not in the log: {len(lost)}{span}")


def kill(kills=10):
    """Kills the server that writes, again and again; each acknowledged event must be there once."""
    with Hosts() as hosts:
        safe = {"QIANMIAN_OBJECT_STORE__ACKNOWLEDGE_UPLOADED": "true", "QIANMIAN_OBJECT_STORE__EVERY_MS": "200"}
        servers = ["one", "two", "three"]
        for host in servers:
            hosts.serve(host, **safe)
        until(lambda: all(hosts.said(host, "serving") for host in servers))
        writing = [Writing(host) for host in servers]
        gaps = []
        for _ in range(kills):
            time.sleep(random.uniform(2, 6))
            count = {host: len(hosts.said(host, "this server writes")) for host in servers}
            writer = until(lambda: next((h for h in servers if is_writer(hosts, h)), None))
            hosts.kill(writer)
            killed = time.monotonic()
            others = [host for host in servers if host != writer]
            until(lambda: any(len(hosts.said(h, "this server writes")) > count[h] for h in others))
            acknowledged = lambda: [at for w in writing for at in list(w.acknowledged.values()) if at > killed + 1]
            until(acknowledged)
            gaps.append(min(acknowledged()) - killed)
            hosts.serve(writer, **safe)
            until(lambda: hosts.said(writer, "serving"))
        time.sleep(3)
        for one in writing:
            one.end()
        time.sleep(5)
        acknowledged = [name for one in writing for name in one.acknowledged]
        found = {host: hosts.events(host) for host in servers}
        writer = next(h for h in servers if is_writer(hosts, h))
        wrong = [name for name in acknowledged if found[writer][name] != 1]
        print(f"{kills} kills of the server that writes, with a lease of {LEASE} s, three servers")
        print(f"without writes for {min(gaps):.1f} to {max(gaps):.1f} s, median {sorted(gaps)[len(gaps) // 2]:.1f} s")
        print(f"{len(acknowledged)} events acknowledged; not in the log, or in it twice: {len(wrong)}")
        twice = sum(count > 1 for count in found[writer].values())
        print(f"events in the log twice: {twice}; all servers alike: {len({str(sorted(f.items())) for f in found.values()}) == 1}")


def is_writer(hosts, host):
    """Whether a server is the one that writes, by the last line that says what it is."""
    if host not in hosts.running:
        return False
    opened = hosts.said(host, "opening the stores")
    return bool(opened) and opened[-1]["part"] == "Writer" and hosts.running[host].poll() is None


def trainer():
    """Kills a trainer in the middle of a training."""
    with Hosts() as hosts:
        log = hosts.work / "log.csv"
        synth = ["--users", "20000", "--items", "5000", "--events", "500000", log]
        subprocess.run([PROGRAMS / "qianmian-bench", "synth", *synth], check=True, capture_output=True)
        data = ["--data", hosts.work / "one"]
        subprocess.run([PROGRAMS / "qianmian", "import", log, *data], check=True, capture_output=True)
        hosts.serve("one", QIANMIAN_OBJECT_STORE__MAY_TRAIN="false")
        until(lambda: hosts.said("one", "serving"))
        eager = {"QIANMIAN_TRAIN__AUTOMATIC": "true", "QIANMIAN_TRAIN__TUNE": "false", "QIANMIAN_TRAIN__NEW_EVENTS": "1000"}
        for host in ["two", "three"]:
            hosts.serve(host, verb="trainer", **eager)
            until(lambda: hosts.said(host, "serving"))
        published = lambda: [line["generation"] for line in hosts.said("one", "model of another trainer published")]
        until(lambda: published(), 1200)
        both = {host: hosts.said(host, "this server trains") for host in ["two", "three"]}
        active, other = ("two", "three") if both["two"] else ("three", "two")
        client = qianmian.Client(address("one"))
        client.write_events([event(f"first-{n}") for n in range(1000)])
        trained = lambda host: [line["seconds"] for line in hosts.said(host, "model published")]
        until(lambda: len(trained(active)) >= 2, 1200)
        took = trained(active)[-1]
        begun = len(hosts.said(active, "the trainer begins"))
        client.write_events([event(f"more-{n}") for n in range(900)])
        client.write_events([event(f"again-{n}") for n in range(900)])
        until(lambda: len(hosts.said(active, "the trainer begins")) > begun, 1200)
        time.sleep(took / 2)
        before = published()
        hosts.kill(active)
        killed = time.monotonic()
        until(lambda: len(published()) > len(before), 1200)
        after = time.monotonic() - killed
        until(lambda: trained(other), 1200)
        print(f"a trainer is killed in the middle of a training that takes {took:.1f} s; the lease is {LEASE} s")
        print(f"the next generation, of the other trainer, after {after:.1f} s; its training took {trained(other)[-1]:.1f} s")
        print(f"generations published: {published()}; none twice: {len(set(published())) == len(published())}")


def follow(rate=5000, seconds=30):
    """How far followers of the object store are behind, and whether all answer alike."""
    with Hosts() as hosts:
        log = hosts.work / "log.csv"
        synth = ["--users", "20000", "--items", "5000", "--events", "500000", log]
        subprocess.run([PROGRAMS / "qianmian-bench", "synth", *synth], check=True, capture_output=True)
        data = ["--data", hosts.work / "one"]
        untuned = {**os.environ, "QIANMIAN_TRAIN__TUNE": "false"}
        subprocess.run([PROGRAMS / "qianmian", "import", log, *data], check=True, capture_output=True, env=untuned)
        subprocess.run([PROGRAMS / "qianmian", "train", *data], check=True, capture_output=True, env=untuned)
        for host in ["one", "two", "three"]:
            hosts.serve(host)
            until(lambda: hosts.said(host, "serving"))
        until(lambda: all(hosts.said(host, "model followed") for host in ["two", "three"]))
        client = qianmian.Client(address("one"))
        copy = qianmian.Client(address("two"), retries=False)
        lags, begun, sent = [], time.monotonic(), 0
        while time.monotonic() < begun + seconds:
            mark = f"mark-{sent}"
            client.write_events([event(f"load-{sent + n}") for n in range(999)] + [qianmian.Event(mark, "item-1", event_id=mark)])
            acknowledged = time.monotonic()
            sent += 1000
            if sent % (5 * rate) < 1000:
                until(lambda: copy.get_user(mark))
                lags.append(time.monotonic() - acknowledged)
            time.sleep(max(0, begun + sent / rate - time.monotonic()))
        rate = sent / (time.monotonic() - begun)
        print(f"{rate:.0f} events/s; a follower has seen an event after {min(lags):.2f} to {max(lags):.2f} s, n = {len(lags)}")
        time.sleep(5)
        with open(log) as rows:
            users = sorted({row["user_id"] for row in csv.DictReader(rows)})[:10_000]
        hashes = {}
        for host in ["one", "two", "three"]:
            lists = qianmian.Client(address(host), timeout=120).batch_recommend(users, limit=10)
            text = json.dumps(sorted((user, [item.item_id for item in found.items]) for user, found in lists))
            hashes[host] = hashlib.sha256(text.encode()).hexdigest()[:16]
        print(f"lists of {len(users)} users: {hashes}; equal: {len(set(hashes.values())) == 1}")


if __name__ == "__main__":
    scenarios = {"split": split, "kill": kill, "trainer": trainer, "follow": follow}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in scenarios:
        sys.exit(__doc__)
    scenarios[name](*map(int, sys.argv[2:]))
