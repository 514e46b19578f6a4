#!/usr/bin/env python3
"""Runs the test vectors of the binding through docs/examples/python: vectors.py URL STREAM <vectors.json

The file explains itself. The entries to be read go through Redis, so that the client is a part of what is tested.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from reader import Reader
from redis_streams_binding import (
    BatchNotSupported,
    EntryError,
    Fields,
    InvalidEvent,
    MalformedEntry,
    Timestamp,
    UnknownEncoding,
    UnknownFormat,
    canonical,
    connect,
    from_fields,
    from_json,
    stream_key,
    to_fields,
)

ERRORS = {
    MalformedEntry: "malformed",
    InvalidEvent: "invalid",
    BatchNotSupported: "batch",
    UnknownEncoding: "not of the binding",
    UnknownFormat: "unknown format",
}


def raw(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def fields_of(entry: list[list[Any]]) -> Fields:
    return [(raw(name), raw(value)) for name, value in entry]


def data_of(event: dict[str, Any]) -> bytes | None:
    if "data_base64" in event:
        return base64.b64decode(event["data_base64"])
    return event["data"].encode() if "data" in event else None


def typed(name: str, value: Any) -> Any:
    """Return the value of an attribute as a Python program would have it."""
    match value:
        case {"binary": text}:
            return base64.b64decode(text)
        case {"uri": text}:
            return text
        case {"timestamp": text}:
            return Timestamp.parse(text)
        case str() if name == "time":
            return Timestamp.parse(value)
    return value


def event_of(attributes: dict[str, Any], data: bytes | None = None) -> CloudEvent:
    event = CloudEvent({name: typed(name, value) for name, value in attributes.items()}, data)
    if "time" not in attributes:
        del event.get_attributes()["time"]  # which CloudEvent has made up
    return event


def strings(event: CloudEvent) -> dict[str, str]:
    return {name: canonical(value) for name, value in event.get_attributes().items()}


def outcome(read: Callable[[], CloudEvent]) -> dict[str, Any]:
    """Return what a vector says: an event or an error."""
    try:
        event = read()
    except EntryError as error:
        found: dict[str, Any] = {"error": ERRORS[type(error)]}
        if isinstance(error, UnknownFormat):
            found["forward"] = (error.content_type, error.data)
        return found
    return {"event": (strings(event), event.get_data())}


def expected(vector: dict[str, Any]) -> dict[str, Any]:
    if "event" in vector:
        return {"event": (vector["event"]["attributes"], data_of(vector["event"]))}
    want = {"error": vector["error"]}
    if "forward" in vector:
        want["forward"] = (vector["forward"]["content-type"], data_of(vector["forward"]))
    return want


def written(vector: dict[str, Any]) -> tuple[Any, Any]:
    """Return what to_fields gives and what it should; where the spelling is free, what the event is read as."""
    event = event_of(vector["event"]["attributes"], data_of(vector["event"]))
    got = to_fields(event, vector.get("mode") == "structured", fields_of(vector.get("plain", [])))
    if all(value is not None for _, value in vector["entry"]):
        return got, fields_of(vector["entry"])
    again = outcome(lambda: from_fields(got))
    names = [raw(name) for name, _ in vector["entry"]]
    return ([name for name, _ in got], again), (names, {"event": (strings(event), event.get_data())})


def partitioned(vector: dict[str, Any]) -> tuple[str, str]:
    event = event_of(vector["attributes"])
    return stream_key(event, vector["stream"], vector["partitions"], vector.get("configured", "")), vector["stream_key"]


def main() -> int:
    url, stream = sys.argv[1:]
    vectors = json.load(sys.stdin)
    client = connect(url)
    for vector in vectors["read"]:
        client.execute_command("XADD", stream, "*", *(part for pair in fields_of(vector["entry"]) for part in pair))
    reader = Reader(client, stream, "interop", "python")
    reader.open()
    entries: list[Fields] = []
    while batch := reader.fetch():
        entries += (entry.fields or [] for entry in batch)

    results: list[tuple[str, Any, Any]] = []
    for vector, fields in zip(vectors["read"], entries, strict=True):
        results.append((vector["name"], outcome(lambda fields=fields: from_fields(fields)), expected(vector)))
    results += ((v["name"], *written(v)) for v in vectors["write"])
    results += ((v["name"], *partitioned(v)) for v in vectors["partitions"])
    results += ((v["name"], outcome(lambda v=v: from_json(raw(v["payload"]))), expected(v)) for v in vectors["channel"])
    different = [result for result in results if result[1] != result[2]]
    for name, got, want in different:
        print(f"{name}: {got}, not {want}", file=sys.stderr)
    print(f"{len(results)} vectors, {len(different)} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
