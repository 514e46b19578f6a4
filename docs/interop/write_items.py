#!/usr/bin/env python3
"""Write STAC items to a STAC API with the Transaction extension.

Creates the collection when it is not there, then COUNT items, one request at
a time. After each 2xx answer, and only then, it prints one line
{"collection": ..., "id": ...}. It never retries: on a refusal it prints the
server's message and exits with 1.

With --update it replaces (PUT) items that exist instead of creating them.
"""

import argparse
import datetime
import hashlib
import http.client
import json
import sys
import time
import urllib.parse

UTC = datetime.timezone.utc


def parse_time(text):
    value = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def format_time(value):
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Refused(Exception):
    """The server answered, but not with 2xx."""

    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status = status


class API:
    """One keep-alive connection to the API."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {url}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=60)
        self.prefix = parts.path.rstrip("/")

    def request(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, self.prefix + path, body, headers)
        response = self.connection.getresponse()
        answer = response.read().decode("utf-8", "replace")
        if not 200 <= response.status < 300:
            raise Refused(response.status, answer.strip())
        return answer


def make_collection(name, start):
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "title": f"Interop test collection {name}",
        "description": "Made-up scenes in the form of Sentinel-2 Level-2A items.",
        "license": "CC0-1.0",
        "keywords": ["interop", "test"],
        "extent": {
            "spatial": {"bbox": [[-180, -56, 180, 83]]},
            "temporal": {"interval": [[format_time(start), None]]},
        },
        "links": [],
    }


def make_item(collection, index, when, updated, revision):
    name = f"S2B_TEST_{index:06d}"
    # Where and how cloudy a scene is depends on its number only.
    digest = hashlib.sha256(name.encode()).digest()
    west = round(-179 + digest[0] * 1.35 + digest[1] / 1000, 6)
    south = round(-55 + digest[2] * 0.5 + digest[3] / 1000, 6)
    east, north = round(west + 1.4, 6), round(south + 0.99, 6)
    zone = int((west + 180) // 6) + 1
    square = "ABCDEFGH"[digest[4] % 8] + "JKLMNPQR"[digest[5] % 8]
    properties = {
        "datetime": format_time(when),
        "platform": "sentinel-2b",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10,
        "eo:cloud_cover": round(digest[6] / 2.56, 2),
        "grid:code": f"MGRS-{zone:02d}T{square}",
        "s2:sequence": str(revision),
    }
    if updated is not None:
        properties["created"] = format_time(updated)
        properties["updated"] = format_time(updated)
    base = f"https://data.example.com/{collection}/{name}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "id": name,
        "collection": collection,
        "bbox": [west, south, east, north],
        "geometry": {
            "type": "Polygon",
            # The tile is a little skewed, as the real ones are.
            "coordinates": [
                [
                    [west, south],
                    [east, round(south + 0.01, 6)],
                    [round(east - 0.02, 6), north],
                    [round(west + 0.01, 6), round(north - 0.01, 6)],
                    [west, south],
                ]
            ],
        },
        "properties": properties,
        "links": [],
        "assets": {
            "red": {
                "href": f"{base}/B04.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "title": "Red - 10m",
                "roles": ["data"],
                "eo:bands": [{"name": "B04", "common_name": "red", "center_wavelength": 0.665}],
            },
            "thumbnail": {"href": f"{base}/preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        },
    }


def ensure_collection(api, name, start):
    quoted = urllib.parse.quote(name, safe="")
    try:
        api.request("GET", f"/collections/{quoted}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
        api.request("POST", "/collections", make_collection(name, start))


def write(args):
    api = API(args.url)
    start = parse_time(args.datetime_start)
    collection = urllib.parse.quote(args.collection, safe="")
    ensure_collection(api, args.collection, start)
    updated = None
    begin = time.monotonic()
    for n in range(args.count):
        index = args.start_index + n
        if args.rate > 0:
            time.sleep(max(0, begin + n / args.rate - time.monotonic()))
        if args.updated and n % 10 == 0:
            updated = datetime.datetime.now(UTC)
        when = start + datetime.timedelta(seconds=args.datetime_step * (index // args.tie))
        item = make_item(args.collection, index, when, updated, args.revision)
        if args.update:
            api.request("PUT", f"/collections/{collection}/items/{item['id']}", item)
        else:
            api.request("POST", f"/collections/{collection}/items", item)
        print(json.dumps({"collection": args.collection, "id": item["id"]}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8082", help="root of the API (default %(default)s)")
    parser.add_argument("--collection", required=True)
    parser.add_argument("--count", type=int, default=10, help="items; 0 only creates the collection (default %(default)s)")
    parser.add_argument("--start-index", type=int, default=0, help="number of the first item (default %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="items per second; 0 is as fast as it goes (default)")
    parser.add_argument("--datetime-start", default="2024-01-01T00:00:00Z", help="datetime of item 0 (default %(default)s)")
    parser.add_argument("--datetime-step", type=float, default=60, help="seconds from item to item; negative makes every item older than those before (default %(default)s)")
    parser.add_argument("--tie", type=int, default=1, help="so many consecutive items share one datetime (default %(default)s)")
    parser.add_argument("--updated", action="store_true", help="set created and updated, the same for every 10 items")
    parser.add_argument("--update", action="store_true", help="replace (PUT) existing items")
    parser.add_argument("--revision", type=int, default=0, help="s2:sequence; change it so that an --update changes the item (default %(default)s)")
    args = parser.parse_args()
    if args.count < 0 or args.tie < 1:
        parser.error("--count must be at least 0 and --tie at least 1")
    try:
        write(args)
    except Refused as refusal:
        print(f"write_items: refused: {refusal}", file=sys.stderr)
        return 1
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"write_items: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
