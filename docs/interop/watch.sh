#!/usr/bin/env bash
# Watches stac-fastapi-pgstac and rustac while the gateway is killed again and
# again; watch.py says what is compared. Exit status 0 only when every state of
# every item became exactly one event.
#
# Environment:
#   STREAMGATE     a ready binary; without it ./cmd/streamgate is built
#   STAC_PORT      port of the STAC API                       (default 8083)
#   WATCH_ITEMS    items of each of the two kinds             (default 1000)
#   WATCH_KILLS    kills while items are created              (default 10)
#   WATCH_RATE     items a second and collection              (default 4)
#   WATCH_KEEP     not empty: keep the work directory after success
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=$root/.cache
export STAC_PORT=${STAC_PORT:-8083}

mkdir -p "$cache"
work=$(mktemp -d "$cache/watch.XXXXXX")
chmod 755 "$work" # the database user must be able to pass through
export STAC_STATE=$work/stac WATCH_WORK=$work
redis_pid='' rustac_pid='' ok=''

say() { printf 'watch: %s\n' "$*" >&2; }
die() { say "FAILED: $*"; exit 2; }

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	trap - EXIT INT TERM
	if [ -n "$rustac_pid" ]; then kill "$rustac_pid" 2>/dev/null || true; fi
	"$here/stac-server.sh" stop || true
	if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null || true; fi
	wait 2>/dev/null || true
	if [ -s "$STAC_STATE/pg.data" ]; then rm -rf "$(cat "$STAC_STATE/pg.data")"; fi
	if [ -n "$ok" ] && [ -z "${WATCH_KEEP:-}" ]; then
		rm -rf "$work"
	else
		say "logs and configuration are in ${work#"$root"/}"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

for tool in redis-server redis-cli python3 curl; do
	command -v "$tool" >/dev/null || die "$tool is needed (Debian: apt-get install redis-server python3-venv curl)"
done

if [ -z "${STREAMGATE:-}" ]; then
	say "building streamgate"
	export STREAMGATE=$cache/streamgate
	(cd "$root" && go build -o "$STREAMGATE" ./cmd/streamgate)
fi

say "starting the STAC server"
STAC_URL=$("$here/stac-server.sh" start) || die "the STAC server did not start"
export STAC_URL

rustac_port=$(free_port)
export RUSTAC_URL=http://127.0.0.1:$rustac_port
dsn="postgresql://stac:$(cat "$STAC_STATE/pg.password")@127.0.0.1:$(cat "$STAC_STATE/pg.port")/stac?options=-csearch_path%3Dpgstac,public" # the role that migrates has no search_path
"$cache/stac-venv/bin/rustac" serve --addr "127.0.0.1:$rustac_port" --pgstac "$dsn" >"$work/rustac.log" 2>&1 </dev/null &
rustac_pid=$!
for _ in $(seq 100); do
	curl -sf -m 5 -o /dev/null "$RUSTAC_URL/" && break
	kill -0 "$rustac_pid" 2>/dev/null || { cat "$work/rustac.log" >&2; die "rustac ended"; }
	sleep 0.2
done

REDIS_PORT=$(free_port)
export REDIS_PORT
redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$work" --save '' --appendonly no >"$work/redis.log" 2>&1 </dev/null &
redis_pid=$!
for _ in $(seq 100); do
	[ "$(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" PING 2>/dev/null)" = PONG ] && break
	sleep 0.1
done

cd "$here" # watch.py imports write_items.py
python3 -B watch.py
ok=1
