#!/usr/bin/env python3
"""Reads a Redis stream as a member of a consumer group and prints its events: ./reader.py --stream orders

Delivery is at least once: an entry is acknowledged after its effect, and comes again when the program ends before. Give
every running reader of a group a name of its own, and the same one when it starts again.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from cloudevents.core.v1.event import CloudEvent

from redis_streams_binding import EntryError, Fields, canonical, connect, field_pairs, from_fields

log = logging.getLogger("reader")

BATCH, BLOCK_MS = 10, 2000  # entries at once; how long to wait for new ones
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds after an error


class Entry(NamedTuple):
    """One entry; fields is None if it was deleted while it was pending."""

    id: str
    fields: Fields | None


class Reader:
    """Reads for one consumer, one batch after another. The client is from connect."""

    def __init__(self, client: redis.Redis, stream: str, group: str, consumer: str, idle: float = 60.0) -> None:
        """Take over entries of consumers that have been silent for idle seconds: more than any effect takes."""
        self._client, self._stream, self._group, self._consumer = client, stream, group, consumer
        self._idle = idle
        self._after = "0"  # first what is pending for this consumer, from the start; then ">", what is new
        self._claim_cursor, self._claim_at = "0-0", 0.0

    def open(self) -> None:
        """Create the group, at the beginning of the stream, unless it is there."""
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def fetch(self) -> list[Entry]:
        """Return the next entries: pending ones of this consumer, then of dead ones, then new ones. May be empty."""
        if self._after != ">":
            if entries := self._read(self._after):
                self._after = entries[-1].id
                return entries
            self._after = ">"
        return self._claim() or self._read(">")

    def ack(self, entry: Entry) -> None:
        """Settle the entry."""
        self._client.xack(self._stream, self._group, entry.id)

    def run(self, handle: Callable[[Entry], None]) -> None:
        """Hand every entry to handle and acknowledge it when that returns.

        After an error of handle or Redis, wait, and begin again with what is pending. Returns never.
        """
        pause = FIRST_PAUSE
        opened = False
        while True:
            try:
                if not opened:
                    self.open()
                    opened = True
                for entry in self.fetch():
                    handle(entry)
                    self.ack(entry)
                pause = FIRST_PAUSE
            except Exception as error:
                log.warning("stream %s: %s; again in %.1f s", self._stream, error, pause)
                time.sleep(random.uniform(pause / 2, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
                opened, self._after = False, "0"

    def _read(self, after: str) -> list[Entry]:
        block = ["BLOCK", BLOCK_MS] if after == ">" else []
        reply: Any = self._client.execute_command(
            "XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", BATCH, *block, "STREAMS", self._stream, after
        )
        streams = dict(reply or {})  # pairs in RESP2, a map in RESP3
        return _entries(streams.get(self._stream.encode(), []))

    def _claim(self) -> list[Entry]:
        if time.monotonic() < self._claim_at:
            return []
        idle = int(self._idle * 1000)
        reply: Any = self._client.execute_command(
            "XAUTOCLAIM", self._stream, self._group, self._consumer, idle, self._claim_cursor, "COUNT", BATCH
        )
        self._claim_cursor = reply[0].decode()
        if self._claim_cursor == "0-0":  # all were looked at
            self._claim_at = time.monotonic() + self._idle / 2
        return _entries(reply[1])


def _entries(raw: list[Any]) -> list[Entry]:
    return [Entry(id.decode(), None if flat is None else field_pairs(flat)) for id, flat in raw if id]


def show(event: CloudEvent) -> None:
    """Print the event, which is the effect of this example."""
    attributes = {name: canonical(value) for name, value in event.get_attributes().items()}
    print(attributes, event.get_data(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    parser.add_argument("--stream", default="orders")
    parser.add_argument("--group", default="example")
    parser.add_argument("--consumer", default=socket.gethostname())
    args = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")

    def handle(entry: Entry) -> None:
        if entry.fields is None:
            log.error("stream %s, entry %s: deleted before it was read", args.stream, entry.id)
            return
        try:
            event = from_fields(entry.fields)
        except EntryError as error:  # it stays in the stream; a dead-letter stream would be a place for it, too
            log.error("stream %s, entry %s: %s", args.stream, entry.id, error)
            return
        show(event)

    with contextlib.suppress(KeyboardInterrupt):
        Reader(connect(args.redis), args.stream, args.group, args.consumer).run(handle)


if __name__ == "__main__":
    main()
