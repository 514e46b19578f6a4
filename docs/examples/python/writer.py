#!/usr/bin/env python3
"""Writes a few events to a Redis stream: ./writer.py --stream orders --count 3"""

from __future__ import annotations

import argparse
from typing import Any

import redis
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.v1.event import CloudEvent

from redis_streams_binding import connect, to_fields


def append(client: redis.Redis, stream: str, event: BaseCloudEvent, structured: bool = False) -> str:
    """Append the event and return the id of its entry.

    After redis.ConnectionError or TimeoutError the entry may be there or not. Append the same event again: a reader
    recognizes it by source and id.
    """
    entry_id: Any = client.xadd(stream, dict(to_fields(event, structured)))
    return str(entry_id, "ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    parser.add_argument("--stream", default="orders")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--structured", action="store_true", help="write the events in structured mode")
    args = parser.parse_args()

    client = connect(args.redis)
    for number in range(1, args.count + 1):
        attributes = {
            "source": "https://example.com/shop",
            "type": "com.example.order.placed",
            "subject": f"order-{number}",
            "datacontenttype": "application/json",
            "priority": 5,  # an extension; id and time are made by CloudEvent
        }
        event = CloudEvent(attributes, {"order": number, "total": 42})
        print(append(client, args.stream, event, args.structured), event.get_id())


if __name__ == "__main__":
    main()
