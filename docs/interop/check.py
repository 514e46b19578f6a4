#!/usr/bin/env python3
"""Compare the items that were created with the events that were emitted.

CREATED holds lines {"collection": ..., "id": ...} from write_items.py, EVENTS
holds CloudEvents in JSON format, one a line, from `streamgate tail -o json`.
Every created item must have exactly one create event, and there must be no
create event for anything else. Exit status: 0 yes, 1 no, 2 unreadable input.
"""

import argparse
import collections
import json
import sys
import urllib.parse

CREATE = "org.ogc.api.collection.item.create"


def lines(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
            if not isinstance(document, dict):
                raise ValueError(f"{path}:{number}: not a JSON object")
            yield number, document


def last_segment(text, after):
    """What follows the last /after/ in a URL or path, decoded; None without."""
    head, found, tail = text.split("?")[0].rstrip("/").rpartition(f"/{after}/")
    if not found or not tail or "/" in tail:
        return None
    return urllib.parse.unquote(tail)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("created", metavar="CREATED")
    parser.add_argument("events", metavar="EVENTS")
    args = parser.parse_args()

    created, emitted, others = set(), collections.Counter(), collections.Counter()
    try:
        for number, line in lines(args.created):
            created.add((line["collection"], line["id"]))
        for number, event in lines(args.events):
            if event.get("type") != CREATE:
                others[event.get("type")] += 1
                continue
            key = (
                last_segment(event.get("source", ""), "collections"),
                last_segment("/" + event.get("subject", ""), "items"),
            )
            if None in key:
                raise ValueError(
                    f"{args.events}:{number}: source {event.get('source')!r}, subject {event.get('subject')!r}: "
                    "expected <api>/collections/<collection> and .../items/<id>"
                )
            emitted[key] += 1
    except (OSError, ValueError, KeyError) as error:
        print(f"check: {error!r}" if isinstance(error, KeyError) else f"check: {error}", file=sys.stderr)
        return 2

    missing = sorted(created - set(emitted))
    unknown = sorted(set(emitted) - created)
    repeated = sorted(key for key, count in emitted.items() if count > 1)
    total = sum(emitted.values())
    duplicated = total - len(emitted)
    for word, keys in (("missing", missing), ("unknown", unknown), ("duplicated", repeated)):
        for key in keys[:20]:
            print(f"check: {word} {'/'.join(key)}", file=sys.stderr)
        if len(keys) > 20:
            print(f"check: {word}: {len(keys) - 20} more", file=sys.stderr)
    for kind, count in sorted(others.items(), key=str):
        print(f"check: ignored {count} of type {kind}", file=sys.stderr)
    print(f"created {len(created)} emitted {total} missing {len(missing)} duplicated {duplicated}")
    return 0 if not missing and not duplicated and len(created) == total else 1


if __name__ == "__main__":
    sys.exit(main())
