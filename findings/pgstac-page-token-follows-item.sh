#!/usr/bin/env bash
# pgstac: a page token is the last item of the page, so it breaks or moves when that item changes
#
# One would guess: a token stands for a position; what happens to items that were already returned does not matter to
# it.
# What happens: the token names the last item, in hexadecimal. If that item is deleted, the next page is an error. If
# its datetime changes, the next page begins at the new place: here items come once more, or are passed over.
# Why it matters: a long walk through a catalogue that is being written to cannot resume at its token, and it may miss
# items without an error. A reader has to repeat the whole interval and drop duplicates.
#
# Versions: pgstac 0.10.0 (PyPI pypgstac), PostgreSQL 15 with PostGIS 3.3
# Seen on 2026-12-01 (newest first, pages of 2):
#> page 1 ['deleted-6', 'deleted-5']; the last one is deleted; page 2 Could not find item using token
#> page 1 ['older-6', 'older-5']; the last one is older; page 2 ['older-1']
#> page 1 ['newer-6', 'newer-5']; the last one is newer; page 2 ['newer-6', 'newer-4']
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
import json

import psycopg
from stac import call, create_collection, create_item, search

for name in ("deleted", "older", "newer"):
    create_collection(name)
    for n in range(1, 7):
        create_item(name, f"{name}-{n}", datetime=f"2026-01-{n:02}T00:00:00Z")
    page, token = search(collections=[name], limit=2)
    last = page[-1]
    if name == "deleted":
        call("select delete_item(%s, %s)::text", last, name)
    else:
        item = call("select get_item(%s, %s)", last, name)
        item["properties"]["datetime"] = {"older": "2026-01-01T12:00:00Z", "newer": "2026-01-31T00:00:00Z"}[name]
        call("select update_item(%s::jsonb)::text", json.dumps(item))
    try:
        following = search(collections=[name], limit=2, token=token)[0]
    except psycopg.Error as error:
        following = str(error).split(":")[0]
    print(f"page 1 {page}; the last one is {name}; page 2 {following}")
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
