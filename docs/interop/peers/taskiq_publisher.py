"""What taskiq writes to a Redis stream. The cases are named in python.go, in the same order.

Usage: python - host port stream version
"""

import asyncio
import importlib.metadata
import sys

from taskiq_redis import RedisStreamBroker


async def main(host: str, port: str, stream: str, version: str) -> None:
    if importlib.metadata.version("taskiq-redis") != version:
        sys.exit(f"taskiq-redis is {importlib.metadata.version('taskiq-redis')}, want {version}")
    broker = RedisStreamBroker(url=f"redis://{host}:{port}", queue_name=stream)

    @broker.task(task_name="orders:add")
    async def add(*_: object, **__: object) -> None:
        """Never run here."""

    await broker.startup()
    await add.kicker().with_task_id("00000000-0000-0000-0000-000000000001").kiq(1, 2)
    await add.kicker().with_task_id("00000000-0000-0000-0000-000000000002").with_labels(tenant="a", n=1).kiq(order={"id": "ü"})
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
