#!/usr/bin/env bash
# The whole interop run: a real STAC server, a writer, the gateway killed twice
# with SIGKILL, and a comparison of what was written with what was emitted.
# README.md explains it. Exit status 0 only when every item that the server
# acknowledged has exactly one create event.
#
# Environment:
#   STREAMGATE        a ready binary; without it ./cmd/streamgate is built
#   STAC_PORT         port of the STAC API                       (default 8082)
#   INTEROP_ITEMS     items to write, in both collections together (default 300)
#   INTEROP_RATE      items per second of each of the two writers  (default 3)
#   INTEROP_TIMEOUT   seconds for the last events to arrive      (default 120)
#   INTEROP_SETTLE    seconds to look for duplicates after that  (default 5 and
#                     two scans: a scan reads 10 items a page, 2 pages a second)
#   INTEROP_KEEP      not empty: keep the work directory after success
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=$root/.cache
items=${INTEROP_ITEMS:-300}
rate=${INTEROP_RATE:-3}
timeout=${INTEROP_TIMEOUT:-120}
settle=${INTEROP_SETTLE:-$((5 + items / 10))}
stream=interop.items
export STAC_PORT=${STAC_PORT:-8082}

mkdir -p "$cache"
work=$(mktemp -d "$cache/interop.XXXXXX")
# The database user must be able to pass through.
chmod 755 "$work"
export STAC_STATE=$work/stac
redis_pid='' gateway_pid='' writer_pids='' ok=''

say() { printf 'interop: %s\n' "$*" >&2; }
die() { say "FAILED: $*"; exit 1; }

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	trap - EXIT INT TERM
	local pid
	for pid in $writer_pids $gateway_pid; do
		{ kill -9 "$pid" && wait "$pid"; } 2>/dev/null || true
	done
	"$here/stac-server.sh" stop || true
	if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null || true; fi
	wait 2>/dev/null || true
	if [ -n "$ok" ] && [ -z "${INTEROP_KEEP:-}" ]; then
		if [ -s "$STAC_STATE/pg.data" ]; then rm -rf "$(cat "$STAC_STATE/pg.data")"; fi
		rm -rf "$work"
	else
		say "logs, events and configuration are in ${work#"$root"/}"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# poll SECONDS WHAT COMMAND...: runs the command until it succeeds.
poll() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ $SECONDS -lt $deadline ] || { say "timeout: $what"; return 1; }
		sleep 0.2
	done
}

redis() { redis-cli -h 127.0.0.1 -p "$redis_port" "$@"; }
redis_up() { [ "$(redis PING 2>/dev/null)" = PONG ]; }
emitted() { redis XLEN "$stream" 2>/dev/null || echo 0; }
written() { cat "$work"/created-*.ndjson 2>/dev/null | wc -l; }
written_at_least() { [ "$(written)" -ge "$1" ]; }

# The writers and the gateway are watched in every wait: a gateway that ends by
# itself is a failure, not something to wait for.
gateway_alive() {
	kill -0 "$gateway_pid" 2>/dev/null && return 0
	tail -n 30 "$work"/gateway-*.log >&2
	die "the gateway ended by itself"
}
emitted_at_least() { gateway_alive; [ "$(emitted)" -ge "$1" ]; }

starts=0 before=0
start_gateway() {
	starts=$((starts + 1))
	"$streamgate" serve --config "$work/streamgate.yaml" >"$work/gateway-$starts.log" 2>&1 </dev/null &
	gateway_pid=$!
}
kill_gateway() {
	gateway_alive
	{ kill -9 "$gateway_pid" && wait "$gateway_pid"; } 2>/dev/null || true
	before=$(emitted)
	say "gateway killed with $(written) items written and $before events in the stream"
}

for tool in redis-server redis-cli python3; do
	command -v "$tool" >/dev/null || die "$tool is needed (Debian: apt-get install redis-server python3-venv)"
done

if [ -n "${STREAMGATE:-}" ]; then
	streamgate=$STREAMGATE
else
	say "building streamgate"
	streamgate=$cache/streamgate
	(cd "$root" && go build -o "$streamgate" ./cmd/streamgate)
fi

say "starting the STAC server"
url=$("$here/stac-server.sh" start)

redis_port=$(free_port)
redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$work" --save '' --appendonly no >"$work/redis.log" 2>&1 </dev/null &
redis_pid=$!
poll 20 "Redis" redis_up || die "Redis did not start"

cat >"$work/streamgate.yaml" <<YAML
redis: { url: "redis://127.0.0.1:$redis_port" }
server: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:$(free_port) }
streams: [ { name: $stream } ]
sources:
  - name: pgstac
    type: stac
    stream: $stream
    url: $url
    collections: [interop-a, interop-b]
    datetime: 2020-01-01T00:00:00Z/..
    limit: 10
    interval: 1s
    event: { producer: interop }
YAML

# Both collections use the same ids. In interop-a every item is younger than
# the ones before, in interop-b every item is a late arrival. Ten consecutive
# items share a datetime. A part is there before the gateway starts.
half=$((items / 2))
early=$((half / 5))
write() { # COLLECTION STEP START COUNT RATE; replaces the shell it runs in
	exec "$here/write_items.py" --url "$url" --collection "$1" --datetime-step "$2" --tie 10 \
		--start-index "$3" --count "$4" --rate "$5" >>"$work/created-$1.ndjson"
}
(write interop-a 60 0 "$early" 0)
(write interop-b -60 0 "$early" 0)
say "$(written) items written before the gateway starts"

start_gateway
write interop-a 60 "$early" $((half - early)) "$rate" 2>"$work/writer-a.log" &
writer_a=$!
write interop-b -60 "$early" $((items - half - early)) "$rate" 2>"$work/writer-b.log" &
writer_b=$!
writer_pids="$writer_a $writer_b"

budget=$((items * 2 / rate + 60))
for part in 2 3; do
	poll "$budget" "items written" written_at_least $((items * part / 4)) || { cat "$work"/writer-*.log >&2; die "the writers are stuck"; }
	# Killing a gateway that has not done anything yet proves nothing.
	poll 60 "events of this gateway" emitted_at_least $((before + 1)) || die "the gateway emits nothing"
	kill -0 "$writer_a" 2>/dev/null || kill -0 "$writer_b" 2>/dev/null ||
		die "the writers finished before the gateway was killed; lower INTEROP_RATE"
	kill_gateway
	sleep 1 # items that arrive while no gateway runs
	start_gateway
done

wait "$writer_a" || { cat "$work/writer-a.log" >&2; die "writer of interop-a"; }
wait "$writer_b" || { cat "$work/writer-b.log" >&2; die "writer of interop-b"; }
writer_pids=''
cat "$work"/created-*.ndjson >"$work/created.ndjson"
total=$(wc -l <"$work/created.ndjson")
say "$total items written, $(emitted) events in the stream"
[ "$total" = "$items" ] || die "the writers wrote $total items, not $items"

# A timeout is not the end: the check says what is missing. Neither is the
# last event: a gateway that forgets what it emitted shows it when it reads that
# page again, so the stream has to stay as it is for two more scans.
if poll "$timeout" "$items events" emitted_at_least "$items"; then
	say "$items events; looking for duplicates for $settle s"
	quiet=$((SECONDS + settle))
	while [ $SECONDS -lt $quiet ] && ! emitted_at_least $((items + 1)); do sleep 0.5; done
fi

"$streamgate" tail "$stream" --redis "redis://127.0.0.1:$redis_port" --from 0 --no-follow -o json >"$work/events.ndjson"
"$here/check.py" "$work/created.ndjson" "$work/events.ndjson" || die "the events do not match the items"
ok=1
