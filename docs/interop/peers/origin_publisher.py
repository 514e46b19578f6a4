"""What the notebook that Streamgate comes from does for each item that it finds: one XADD of flat fields, by redis-py.

The cases are named in origin.go, in the same order.
"""

import sys

import redis

HREF = "https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a/items/S2B_10TFK_20211230_0_L2A"


def main(host: str, port: int, stream: str, version: str) -> None:
    if redis.__version__ != version:
        sys.exit(f"redis-py is {redis.__version__}, want {version}")
    client = redis.Redis(host=host, port=port)

    def send_event(href: str, producer: str) -> None:
        client.xadd(stream, {"subject": href, "producer": producer, "href": href})

    send_event(HREF, "project-a")
    send_event(HREF, "project-a")
    send_event(HREF, "project-b")
    send_event("https://example.com/items/Größe-衛星", "プロジェクト")
    send_event(HREF + "?datetime=2021-12-30T00:00:00Z/..&limit=10#top", "project-a")
    client.xadd(stream, {"subject": "S2B_10TFK_20211230_0_L2A", "producer": "project-a", "href": HREF})
    send_event(HREF, "")
    client.xadd(stream, {"subject": HREF, "producer": "project-a", "href": HREF, "collection": "sentinel-2-l2a"})
    client.xadd(stream, {"subject": HREF, "producer": "project-a", "href": HREF, "cloudcover": 12.5, "items": 3})
    client.xadd(stream, {"subject": HREF, "producer": "project-a", "href": HREF, "thumbnail": b"\x89PNG\r\n\x1a\n\x00"})
    client.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
