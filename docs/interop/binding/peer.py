#!/usr/bin/env python3
"""The Python side of docs/interop/binding.sh: writes and reads with docs/examples/python.

peer.py write URL STREAM <manifest     write the events of the manifest, in their order
peer.py read URL STREAM <manifest      read the stream as a consumer group and compare it with them

The manifest is that of the Go side, which explains it.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from reader import Entry, Reader
from redis_streams_binding import Fields, Timestamp, canonical, connect, from_fields, to_fields
from writer import append

GROUP = "interop"


def native(kind: str, value: str) -> Any:
    """Return the value of an attribute as what Python has for its kind."""
    match kind:
        case "boolean":
            return value == "true"
        case "integer":
            return int(value)
        case "binary":
            return base64.b64decode(value)
        case "timestamp":
            return datetime.fromisoformat(value)
    return value


def data_of(expected: dict[str, Any]) -> bytes | None:
    encoded = expected.get("data_base64")
    return None if encoded is None else base64.b64decode(encoded)


def convenient(data: bytes | None, media_type: str) -> Any:
    """Return the data as a program would have it, if that says the same to the byte."""
    if data is None:
        return None
    try:
        if media_type == "application/json":
            value = json.loads(data)
            written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return value if written.encode() == data and not isinstance(value, (str, type(None))) else data
        return data.decode() if media_type.startswith("text/plain") else data
    except ValueError:
        return data


def event_of(expected: dict[str, Any]) -> CloudEvent:
    attributes = {a["name"]: native(a["kind"], a["value"]) for a in expected["attributes"]}
    has_time = "time" in attributes
    event = CloudEvent(attributes, convenient(data_of(expected), attributes.get("datacontenttype", "")))
    if not has_time:
        del event.get_attributes()["time"]  # which CloudEvent has made up
    return event


def differences(fields: Fields, expected: dict[str, Any]) -> Iterator[str]:
    event = from_fields(fields)
    got = {name: canonical(value) for name, value in event.get_attributes().items()}
    want = {a["name"]: a["value"] for a in expected["attributes"]}
    if expected["sdk"] and "time" in want and event.get_time() == Timestamp.parse(want["time"]):
        want["time"] = got["time"]  # Go's SDK writes it in UTC
    for name in sorted(got.keys() | want.keys()):
        if got.get(name) != want.get(name):
            yield f"{name} is {got.get(name)!r}, not {want.get(name)!r}"
    data = data_of(expected)
    if event.get_data() != data:
        yield f"data is {event.get_data()!r:.100}, not {data!r:.100}"
    structured = expected["structured"] or want.get("datacontenttype", "").startswith("application/cloudevents+")
    again = to_fields(event, structured)
    if [name for name, _ in fields] != [name for name, _ in again]:
        yield f"the fields are {[name for name, _ in fields]}, in canonical order {[name for name, _ in again]}"
    elif not structured and fields != again:
        yield f"written again, it is {again!r:.500}, not {fields!r:.500}"


def write(url: str, stream: str, manifest: list[dict[str, Any]]) -> int:
    client = connect(url)
    for expected in manifest:
        append(client, stream, event_of(expected), expected["structured"])
    return 0


def read(url: str, stream: str, manifest: list[dict[str, Any]]) -> int:
    """Read as one that was started again, in a group of which another member died: each with entries in work."""
    client = connect(url)
    reader = Reader(client, stream, GROUP, "python", idle=0.05)
    reader.open()
    for consumer in ("dead", "python"):
        client.execute_command("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 25, "STREAMS", stream, ">")
    entries: dict[str, Entry] = {}
    deadline = time.monotonic() + 30
    while len(entries) < len(manifest) and time.monotonic() < deadline:
        for entry in reader.fetch():
            entries[entry.id] = entry
            reader.ack(entry)
    if len(entries) != len(manifest) or client.xlen(stream) != len(manifest):
        print(f"{len(entries)} entries of {client.xlen(stream)}, want {len(manifest)}", file=sys.stderr)
        return 1
    count = 0
    for (_, entry), expected in zip(sorted(entries.items(), key=by_id), manifest, strict=True):
        found = ["deleted"] if entry.fields is None else list(differences(entry.fields, expected))
        count += bool(found)
        for difference in found:
            print(f"{entry.id} ({expected['name']}): {difference}", file=sys.stderr)
    print(f"{len(entries)} events, {count} different")
    pending: Any = client.execute_command("XPENDING", stream, GROUP)
    left = pending["pending"] if isinstance(pending, dict) else pending[0]
    if left:
        print(f"{left} entries are not acknowledged", file=sys.stderr)
    return 1 if count or left else 0


def by_id(item: tuple[str, Entry]) -> tuple[int, ...]:
    return tuple(int(part) for part in item[0].split("-"))


def main() -> int:
    command, url, stream = sys.argv[1:]
    manifest = [json.loads(line) for line in sys.stdin]
    return {"write": write, "read": read}[command](url, stream, manifest)


if __name__ == "__main__":
    sys.exit(main())
