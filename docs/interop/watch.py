#!/usr/bin/env python3
"""Watch real STAC servers while the gateway is killed again and again.

Writers create items in collections of stac-fastapi-pgstac, with tied times, and
replace some of them; one pair of collections has `updated` set, the other never.
A gateway watches both pairs, and the second one through `rustac serve` as well;
it is killed with SIGKILL ten times while items are created, and more often while
they are replaced. At the end every state of every item must be in the stream of
its source exactly once. Exit status: 0 yes, 1 no, 2 something did not start.

The environment says what watch.sh has started: STREAMGATE, STAC_URL, RUSTAC_URL
(may be empty) and REDIS_PORT; WATCH_ITEMS, WATCH_KILLS and WATCH_RATE may be set.
"""

import collections
import datetime
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

import write_items

ITEMS = int(os.environ.get("WATCH_ITEMS", "1000"))  # in the two collections of a pair together
KILLS = int(os.environ.get("WATCH_KILLS", "10"))
RATE = float(os.environ.get("WATCH_RATE", "4"))  # items a second and collection
TIE = 29  # so many items share a datetime
REPLACED = 5  # every so many items are replaced
UNDATED = 17  # every so many items have no datetime
SETTLE = 25  # seconds that the streams must stay as they are

lock = threading.Lock()
written = collections.defaultdict(set)  # by kind: (collection, id, revision)


def say(*words):
    print("watch:", *words, file=sys.stderr, flush=True)


class Writer(threading.Thread):
    """Creates or replaces the items of one collection."""

    def __init__(self, kind, letter, stamped, indexes, revision):
        super().__init__(daemon=True)
        self.kind, self.stamped, self.indexes, self.revision = kind, stamped, indexes, revision
        self.collection = f"{kind}-{letter}"
        # In the first collection every item is younger than those before, in the second every item is a late arrival.
        self.step = 3600 if letter == "a" else -3600
        self.error = None

    def run(self):
        try:
            self.write()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def write(self):
        api = write_items.API(os.environ["STAC_URL"])
        start = datetime.datetime.now(write_items.UTC).replace(microsecond=0) - datetime.timedelta(days=60)
        write_items.ensure_collection(api, self.collection, start)
        stamp, begin = None, time.monotonic()
        for n, index in enumerate(self.indexes):
            time.sleep(max(0, begin + n / RATE - time.monotonic()))
            if self.stamped and n % 10 == 0:  # ten items share a stamp
                stamp = datetime.datetime.now(write_items.UTC)
            when = start + datetime.timedelta(seconds=self.step * (index // TIE))
            item = write_items.make_item(self.collection, index, when, stamp, self.revision)
            if index % UNDATED == 0:
                properties = item["properties"]
                properties["start_datetime"] = properties["datetime"]
                properties["end_datetime"] = write_items.format_time(when + datetime.timedelta(hours=2))
                properties["datetime"] = None
            path = f"/collections/{urllib.parse.quote(self.collection)}/items"
            if self.revision:
                api.request("PUT", f"{path}/{item['id']}", item)
            else:
                api.request("POST", path, item)
            with lock:
                written[self.kind].add((self.collection, item["id"], str(self.revision)))


class Gateway:
    """The gateway, and what it has put into its streams."""

    def __init__(self, sources):
        self.sources, self.process, self.kills = sources, None, 0
        self.redis = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
        blocks = [
            {
                "name": name, "type": "stac", "stream": name, "url": url, "collections": [f"{kind}-*"],
                "startFrom": "beginning", "interval": "1s", "limit": 7, "requestsPerSecond": 40, "collectionsInterval": "5s",
                "warm": {"back": "960h", "every": "10s"}, "cold": {"back": "8760h", "every": "20s"}, "sweep": {"every": "15s"},
                "event": {"profile": "summary", "properties": ["s2:sequence"]},
            }
            for name, (kind, url) in sources.items()
        ]
        config = {
            "redis": {"url": self.redis}, "server": {"address": "127.0.0.1:0"}, "admin": {"address": "127.0.0.1:0"},
            "streams": [{"name": name} for name in sources], "sources": blocks,
        }
        self.config = os.path.join(os.environ["WATCH_WORK"], "watch.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(config, file)  # JSON is YAML

    def start(self):
        log = open(os.path.join(os.environ["WATCH_WORK"], f"watch-{self.kills}.log"), "wb")
        self.process = subprocess.Popen(
            [os.environ["STREAMGATE"], "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the gateway ended by itself; see watch-{self.kills}.log")
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def states(self, stream):
        """(collection, id, revision) of each event, with repetitions."""
        out = subprocess.run(
            [os.environ["STREAMGATE"], "tail", stream, "--redis", self.redis, "--from", "0", "--no-follow", "-o", "json"],
            check=True, capture_output=True).stdout
        for line in out.splitlines():
            event = json.loads(line)
            yield event["collection"], event["data"]["id"], event["data"]["properties"]["s2:sequence"]


def run_writers(gateway, writers, kills):
    """Runs the writers, and kills the gateway so often meanwhile."""
    total = sum(len(writer.indexes) for writer in writers)
    done_before = sum(len(states) for states in written.values())
    for writer in writers:
        writer.start()
    for n in range(kills):
        while sum(len(states) for states in written.values()) - done_before < total * (n + 1) // (kills + 1):
            if not any(writer.is_alive() for writer in writers):
                break
            time.sleep(0.1)
        gateway.kill()
        say(f"killed with {sum(len(states) for states in written.values())} states written")
        gateway.start()
    for writer in writers:
        writer.join()
        if writer.error:
            raise RuntimeError(f"the writer of {writer.collection}: {writer.error}")


def await_all(gateway, seconds):
    """Waits until everything that was written is in the streams; returns what is missing by source."""
    deadline = time.monotonic() + seconds
    while True:
        missing = {name: written[kind] - set(gateway.states(name)) for name, (kind, _) in gateway.sources.items()}
        if not any(missing.values()) or time.monotonic() > deadline:
            return missing
        time.sleep(1)


def main():
    sources = {"stamped": ("stamped", os.environ["STAC_URL"]), "plain": ("plain", os.environ["STAC_URL"])}
    if os.environ.get("RUSTAC_URL"):
        sources["rustac"] = ("plain", os.environ["RUSTAC_URL"])
    gateway = Gateway(sources)
    gateway.start()
    begin = time.monotonic()
    half = ITEMS // 2
    pairs = [(kind, letter, kind == "stamped") for kind in ("stamped", "plain") for letter in "ab"]
    try:
        run_writers(gateway, [Writer(kind, letter, stamped, range(half), 0) for kind, letter, stamped in pairs], KILLS)
        say(f"{2 * ITEMS} items created, {gateway.kills} kills, {time.monotonic() - begin:.0f} s")
        await_all(gateway, 180)
        run_writers(gateway, [Writer(kind, letter, stamped, range(0, half, REPLACED), 1) for kind, letter, stamped in pairs], max(KILLS // 4, 1))
        say(f"{2 * ITEMS // REPLACED} items replaced, {gateway.kills} kills, {time.monotonic() - begin:.0f} s")
        missing = await_all(gateway, 180)
        time.sleep(SETTLE)
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
    good = True
    for name, (kind, _) in sources.items():
        counts = collections.Counter(gateway.states(name))
        twice = {state for state, n in counts.items() if n > 1}
        unknown = set(counts) - written[kind]
        good = good and not missing[name] and not twice and not unknown
        print(f"{name}: states {len(written[kind])} events {sum(counts.values())} missing {len(missing[name])} twice {len(twice)} unknown {len(unknown)}")
        for word, states in (("missing", missing[name]), ("twice", twice), ("unknown", unknown)):
            for state in sorted(states)[:10]:
                say(name, word, *state)
    print(f"{gateway.kills} kills, {time.monotonic() - begin:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
