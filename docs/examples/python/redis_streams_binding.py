"""The CloudEvents protocol binding for Redis Streams, on top of the packages cloudevents 2 and redis.

One event is one entry. Nothing here does I/O but the client of connect. Data that was read is always bytes, as it stands
in the entry, or None where there is none, and the time is a Timestamp.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import redis
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.v1.event import CloudEvent
from redis.backoff import NoBackoff
from redis.retry import Retry

Fields = list[tuple[bytes, bytes]]

JSON_FORMAT = "application/cloudevents+json"
# The canonical order; extensions follow by name. Redis stores the names once for neighbours that have the same ones.
CORE = ("specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype")

_NAME = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"[^/]+/([^/]+\+)?json")
_PCHAR = r"(?:[A-Za-z0-9._~:/?@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})"
_GRAMMARS = {  # roughly, where the real one is long
    "source": re.compile(rf"{_PCHAR}*(#{_PCHAR}*)?"),
    "dataschema": re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_PCHAR}*"),
    "time": re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII),
    "datacontenttype": re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+[ \t]*(;.*)?", re.ASCII),
}


class EntryError(Exception):
    """An entry that is not read as an event. Report it with its stream and id, and go on with the next."""


class MalformedEntry(EntryError):
    """The entry breaks a rule of the binding."""


class InvalidEvent(EntryError):
    """The entry holds an event that the specification does not allow, or that Python cannot hold."""


class BatchNotSupported(EntryError):
    """The entry holds several events."""


class UnknownEncoding(EntryError):
    """The entry holds no event of this binding. Another program may know what it is."""


class UnknownFormat(EntryError):
    """The entry holds an event in a format that is not JSON. It can be passed on as it is."""

    def __init__(self, content_type: str, data: bytes | None) -> None:
        super().__init__(f"the event format {content_type!r} is not {JSON_FORMAT}")
        self.content_type, self.data = content_type, data


class Timestamp(datetime):
    """A datetime that is written as it was read: to the nanosecond, and with a leap second, which Python does not have."""

    text: str | None = None

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """Read a timestamp of RFC 3339."""
        text = text.upper()
        timestamp = cls.fromisoformat(text[:17] + text[17:19].replace("60", "59") + text[19:])
        timestamp.text = text
        return timestamp


def to_fields(event: BaseCloudEvent, structured: bool = False, plain: Iterable[tuple[bytes, bytes]] = ()) -> Fields:
    """Return the fields of the event's entry in canonical order, with plain fields, which are no part of the event."""
    attributes = {name: value for name, value in event.get_attributes().items() if value is not None}
    for name in attributes:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no valid attribute name")
    # In binary mode, data that is an encoded event itself would be read as the inner one.
    if structured or _mode(attributes.get("datacontenttype", "")) != "binary":
        return [(b"content-type", JSON_FORMAT.encode()), *plain, (b"data", to_json(event))]
    fields: Fields = []
    for name in sorted(attributes, key=_rank):
        field = "content-type" if name == "datacontenttype" else "ce_" + name
        fields.append((field.encode(), canonical(attributes[name]).encode()))
    data = _to_bytes(event.get_data())
    return [*fields, *plain] if data is None else [*fields, *plain, (b"data", data)]


def from_fields(pairs: Iterable[tuple[bytes, bytes]]) -> CloudEvent:
    """Read the event from an entry's fields in any order. Raises an EntryError."""
    fields = [(name, value) for name, value in pairs if name.startswith(b"ce_") or name in (b"content-type", b"data")]
    modes = {_mode(value.decode(errors="replace")) for name, value in fields if name == b"content-type"} - {"binary"}
    if modes == {"batch"}:
        raise BatchNotSupported("a batch is not supported: one entry is one event")
    if not modes and not any(name == b"ce_specversion" for name, _ in fields):
        raise UnknownEncoding("it has neither ce_specversion nor a content-type of application/cloudevents")
    attributes, data = _gather(fields)
    if not modes:
        try:
            return _event(attributes, data)
        except ValueError as error:
            raise InvalidEvent(str(error)) from error
    if _essence(attributes["datacontenttype"]) != JSON_FORMAT:
        raise UnknownFormat(attributes["datacontenttype"], data)
    if data is None:
        raise MalformedEntry("it has no field data")
    return from_json(data)


def stream_key(event: BaseCloudEvent, name: str, partitions: int, key: str = "") -> str:
    """Return the key of the event's partition, by its partitionkey, else by key, else by its source and id."""
    chosen = canonical(event.get_extension("partitionkey") or "") or key or f"{event.get_source()}\n{event.get_id()}"
    return f"{{{name}:{zlib.crc32(chosen.encode()) % partitions}}}"


def canonical(value: Any) -> str:
    """Return the canonical string of an attribute's value (CloudEvents, type system)."""
    match value:
        case str():
            return value
        case bool():  # before int, of which it is a kind
            return "true" if value else "false"
        case int() if -(2**31) <= value < 2**31:
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp(text=str(text)):
            return text
        case datetime() if value.tzinfo is not None:
            return value.isoformat().replace("+00:00", "Z")
    raise ValueError(f"{value!r} is no value for an attribute")


def connect(url: str) -> redis.Redis:
    """Return a client that is safe for streams.

    By default, redis-py sends a command again whose reply got lost, and the event would be twice in the stream; and it
    makes a dict of an entry's fields, in which one that occurs twice cannot be seen.
    """
    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=10)
    for command in ("XRANGE", "XREADGROUP", "XAUTOCLAIM"):
        client.set_response_callback(command, lambda reply, **_: reply)
    return client


def field_pairs(flat: list[bytes]) -> Fields:
    """Return the fields of an entry as Redis sends them, names and values alternately, in pairs."""
    return list(zip(flat[::2], flat[1::2], strict=True))


def _mode(content_type: str) -> str:
    match = re.fullmatch(r"application/cloudevents(-batch)?(\+.*)?", _essence(content_type), re.DOTALL)
    if match is None:
        return "binary"
    return "batch" if match[1] else "structured"


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip(" \t").lower()


def _rank(name: str) -> tuple[int, str]:
    return (CORE.index(name) if name in CORE else len(CORE), name)


def _is_json(media_type: str) -> bool:
    return _JSON_TYPE.fullmatch(_essence(media_type)) is not None


def _to_bytes(data: Any) -> bytes | None:
    match data:
        case None | bytes():
            return data
        case str():
            return data.encode()
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _gather(fields: Fields) -> tuple[dict[str, Any], bytes | None]:
    seen: dict[bytes, bytes] = {}
    attributes: dict[str, Any] = {}
    for field, value in fields:
        shown = field.decode(errors="backslashreplace")
        if field in seen:
            raise MalformedEntry(f"the field {shown} occurs twice")
        seen[field] = value
        if field == b"data":
            continue
        name = "datacontenttype" if field == b"content-type" else shown.removeprefix("ce_")
        if shown == "ce_datacontenttype" or not _NAME.fullmatch(name):
            raise MalformedEntry(f"the field {shown} is no valid attribute name")
        try:
            attributes[name] = value.decode()
        except UnicodeDecodeError:
            raise MalformedEntry(f"the field {shown} is not valid UTF-8") from None
    return attributes, seen.get(b"data")


def _event(attributes: dict[str, Any], data: bytes | None) -> CloudEvent:
    """Make an event of what was read. Raises a ValueError."""
    if attributes.get("datacontenttype") == "":
        del attributes["datacontenttype"]
    for name, value in attributes.items():
        _check(name, value)
    for name in ("specversion", "id"):  # CloudEvent makes up what is missing, which is right for a writer only
        if name not in attributes:
            raise ValueError(f"the attribute {name} is missing")
    has_time = "time" in attributes
    if has_time:
        attributes["time"] = Timestamp.parse(attributes["time"])
    try:
        event = CloudEvent(attributes, data)
    except BaseCloudEventException as error:
        raise ValueError(str(error)) from error
    if not has_time:
        del event.get_attributes()["time"]
    return event


def _check(name: str, value: Any) -> None:
    """Check what CloudEvent does not."""
    text = canonical(value)
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xFDD0 <= ord(c) < 0xFDF0 or ord(c) & 0xFFFE == 0xFFFE for c in text):
        raise ValueError(f"the attribute {name} has characters that no attribute may have: {text!r:.100}")
    grammar = _GRAMMARS.get(name)
    if grammar is not None and not grammar.fullmatch(text):
        raise ValueError(f"the attribute {name} must not be {text!r:.100}")


# The JSON event format is read and written here and not by the package's JSONFormat, which cannot tell data that is null
# from none, takes members that occur twice, and fails on attributes that are bytes.


def to_json(event: BaseCloudEvent) -> bytes:
    """Return the event in the JSON event format, as in structured mode and in messages of Pub/Sub channels."""
    attributes = {name: value for name, value in event.get_attributes().items() if value is not None}
    members: dict[str, Any] = {n: v if isinstance(v, (bool, int)) else canonical(v) for n, v in attributes.items()}
    data = event.get_data()
    is_json = _is_json(attributes.get("datacontenttype", "application/json"))
    if isinstance(data, (dict, list, bool, int, float) if is_json else str):
        members["data"] = data
    elif (encoded := _to_bytes(data)) is not None:
        members["data_base64"] = base64.b64encode(encoded).decode()
    return _to_bytes(members) or b""


def from_json(encoded: bytes) -> CloudEvent:
    """Read an event in the JSON event format. Raises MalformedEntry."""
    try:
        members = dict(_members(encoded.decode()))
        attributes: dict[str, Any] = {}
        for name, text in members.items():
            if name in ("data", "data_base64") or text == "null":  # null is an absent attribute
                continue
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no valid attribute name")
            attributes[name] = json.loads(text)
            canonical(attributes[name]).encode()  # it has a type, and no half of a surrogate pair
        return _event(attributes, _data_of(members, attributes))
    except (ValueError, RecursionError) as error:
        raise MalformedEntry(f"its JSON: {error}") from error


def _members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON object with their values as they stand there."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
    if not isinstance(decoder.decode(text), dict):
        raise ValueError("an event must be an object")
    seen: set[str] = set()
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = _skip(text, at)
        _, at = decoder.raw_decode(text, start)
        if name in seen:
            raise ValueError(f"the member {name!r} occurs twice")
        seen.add(name)
        yield name, text[start:at]
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n:,":
        at += 1
    return at


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _data_of(members: dict[str, str], attributes: dict[str, Any]) -> bytes | None:
    in_base64 = json.loads(members.get("data_base64", "null"))
    if in_base64 is not None:
        if "data" in members:
            raise ValueError("it has both data and data_base64")
        if not isinstance(in_base64, str):
            raise ValueError("data_base64 must be a string")
        return base64.b64decode(in_base64, validate=True)
    if "data" not in members:
        return None
    media_type = attributes.setdefault("datacontenttype", "application/json")
    if _is_json(media_type):
        return members["data"].encode()
    text = json.loads(members["data"])
    if not isinstance(text, str):
        raise ValueError("data must be a string, because datacontenttype is not JSON")
    return text.encode()
