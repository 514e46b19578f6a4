#!/usr/bin/env bash
# pgstac: a filter on "updated" is refused with a timestamp and compares text with a string
#
# One would guess: updated is a timestamp of STAC's common metadata, so a filter compares moments.
# What happens: unless the operator has registered it as a queryable with a type, {"timestamp": ...} is an SQL error (a
# server answers with 400 or 500), and a plain string is compared as text. "12:00:00.5Z" is then before "12:00:00Z", and
# a time with an offset is sorted by its characters.
# Why it matters: a watcher that asks for what was updated since its last scan misses items, depending on how their
# publisher spells times. It needs an overlap, and the spelling of the items in its own condition.
#
# Versions: pgstac 0.10.0 (PyPI pypgstac; 0.9.11 is the same), PostgreSQL 15 with PostGIS 3.3
# Seen on 2026-12-01:
#> updated >= {'timestamp': '2026-02-01T12:00:00Z'}
#> operator does not exist: text >= timestamp with time zone
#> updated >= 2026-02-01T12:00:00Z
#> an hour before, as 13:00:00+02:00
#> at 12:00:00Z
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
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pypgstac[psycopg]==0.10.0' psycopg==3.3.9
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
import psycopg
from stac import create_collection, create_item, search

create_collection("c")
create_item("c", "at 12:00:00Z", datetime="2026-01-01T00:00:00Z", updated="2026-02-01T12:00:00Z")
create_item("c", "half a second later", datetime="2026-01-01T00:00:00Z", updated="2026-02-01T12:00:00.5Z")
create_item("c", "an hour before, as 13:00:00+02:00", datetime="2026-01-01T00:00:00Z", updated="2026-02-01T13:00:00+02:00")

for bound in ({"timestamp": "2026-02-01T12:00:00Z"}, "2026-02-01T12:00:00Z"):
    condition = {"op": ">=", "args": [{"property": "updated"}, bound]}
    print("updated >=", bound)
    try:
        print(*sorted(search(collections=["c"], filter=condition, **{"filter-lang": "cql2-json"})[0]), sep="\n")
    except psycopg.Error as error:
        print(str(error).splitlines()[0])
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
