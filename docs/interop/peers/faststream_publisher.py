"""What FastStream writes to a Redis stream. The cases are named in python.go, in the same order.

Usage: python - host port stream version
"""

import asyncio
import importlib.metadata
import sys

from faststream.redis import RedisBroker, StreamSub

HEADERS = {"correlation_id": "c-1"}


async def main(host: str, port: str, stream: str, version: str) -> None:
    if importlib.metadata.version("faststream") != version:
        sys.exit(f"faststream is {importlib.metadata.version('faststream')}, want {version}")
    broker = RedisBroker(f"redis://{host}:{port}")
    await (broker.start() if version.startswith("0.5") else broker.connect())

    async def publish(message: object, **more: object) -> None:
        await broker.publish(message, stream=stream, correlation_id="c-1", **more)

    await publish({"orderId": "100", "amount": 12.5})
    await publish("hello, wörld")
    await publish(b"\x00\xff\xfe" if not version.startswith("0.5") else b"bytes")
    await publish(None)
    await publish([1, "2", None])
    await publish({"orderId": "100"}, headers={"tenant": "a", "Trace-Id": "t", "message_id": "m-1"}, reply_to="answers")
    await publish("x", headers={"größe": "groß 衛星", "tenant": "a"})
    await publish("<a/>", headers={"content-type": "application/xml"})
    event = '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}'
    await publish(event, headers={"content-type": "application/cloudevents+json"})
    await (broker.close() if version.startswith("0.5") else broker.stop())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
