#!/usr/bin/env bash
# pgstac 0.9: paging through items sorted by "updated" skips some and repeats others
#
# One would guess: following the next links returns every item once, whatever the order; a server adds a tiebreaker if
# needed.
# What happens: sorted ascending by a property that several items share, pages lose items and repeat others. The default
# order, descending order, and an explicit second key "id" are complete.
# Why it matters: "updated ascending" is the natural request of a watcher that wants what is new. Many catalogues stamp
# whole batches with one time, so it misses items without an error. 0.10.0 has corrected it; servers with 0.9 are in
# use.
#
# Versions: pgstac 0.9.11 (PyPI pypgstac), PostgreSQL 15 with PostGIS 3.3
# Seen on 2026-12-01 (29 items, six of them at each time, pages of 3):
#> default order: 29 of 29 items, 0 repeated
#> properties.updated asc: 11 of 29 items, 6 repeated
#> properties.updated desc: 29 of 29 items, 0 repeated
#> properties.updated asc, id asc: 29 of 29 items, 0 repeated
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 2; }
for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) ''; do
	[ ! -e "/usr/share/postgresql/$(basename "$(dirname "$bin")")/extension/postgis.control" ] || break
done
[ -n "$bin" ] || { echo "PostgreSQL with PostGIS is missing: install Debian's postgresql and postgresql-15-postgis-3" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pypgstac[psycopg]==0.9.11' psycopg==3.2.13
# PostgreSQL refuses to run as root, so root hands over to the user that Debian's package has made.
as_pg() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }
mkdir "$work/pg"
if [ "$(id -u)" = 0 ]; then chmod 711 "$work" && chown postgres "$work/pg"; fi
as_pg "$bin/initdb" -D "$work/pg" -U stac --auth=trust -E UTF8 --locale=C.UTF-8 >/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
trap 'as_pg "$bin/pg_ctl" -D "$work/pg" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
as_pg "$bin/pg_ctl" -D "$work/pg" -w -t 60 -l "$work/pg/log" \
	-o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off" start >/dev/null
export PGHOST=127.0.0.1 PGPORT=$port PGUSER=stac PGDATABASE=postgres
"$work/venv/bin/pypgstac" migrate >/dev/null 2>"$work/migrate.log" || { cat "$work/migrate.log" >&2; exit 2; }
cat >"$work/stac.py" <<'EOF'
import json

import psycopg

connection = psycopg.connect("", autocommit=True, options="-c search_path=pgstac,public")


def call(statement, *values):
    return connection.execute(statement, values).fetchone()[0]


def create_collection(name):
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2026-01-01T00:00:00Z", None]]}}
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "CC0-1.0",
        "extent": extent, "links": [],
    }
    call("select create_collection(%s::jsonb)::text", json.dumps(collection))


def create_item(collection, name, lon=1, lat=2, **properties):
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
        "geometry": {"type": "Point", "coordinates": [lon, lat]}, "bbox": [lon, lat, lon, lat],
        "properties": properties, "links": [], "assets": {},
    }
    call("select create_item(%s::jsonb)::text", json.dumps(item))


def search(**body):
    """The ids of a page and the token of the next one, as a STAC API in front of pgstac hands them out."""
    page = call("select search(%s::jsonb)", json.dumps(body))
    following = [link["href"].split("token=")[1] for link in page["links"] if link["rel"] == "next"]
    return [item["id"] for item in page["features"] or []], following[0] if following else None
EOF
cat >"$work/finding.py" <<'EOF'
from stac import create_collection, create_item, search

create_collection("c")
for n in range(29):
    create_item("c", f"item-{n:02}", datetime=f"2026-01-01T00:{n:02}:00Z", updated=f"2026-02-01T00:{n // 6:02}:00Z")


def walk(*order):
    sortby = {"sortby": [{"field": f, "direction": d} for f, d in order]} if order else {}
    seen, token = [], None
    for _ in range(40):
        ids, token = search(collections=["c"], limit=3, **sortby, **({"token": token} if token else {}))
        seen += ids
        if not token:
            break
    label = ", ".join(f"{f} {d}" for f, d in order) or "default order"
    print(f"{label}: {len(set(seen))} of 29 items, {len(seen) - len(set(seen))} repeated")


walk()
walk(("properties.updated", "asc"))
walk(("properties.updated", "desc"))
walk(("properties.updated", "asc"), ("id", "asc"))
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
