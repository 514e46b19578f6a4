#!/usr/bin/env bash
# Shows that the readers of the notebook keep working: its redis-py subscriber reads what the gateway stores, delivers to
# the dead-letter stream, and takes over from a stream of flat entries. Everything runs on loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'interop: %s\n' "$*"; }

work=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

venv=.cache/redis-venv
if [ ! -x "$venv/bin/python" ]; then
	say "installing redis-py"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet 'redis==5.2.1'
fi
internal/tools/install-test-deps.sh
go build -o .cache/streamgate ./cmd/streamgate

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
redis_port=$(free_port)
http_port=$(free_port)
redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --dir "$work" >"$work/redis.log" &
pids+=($!)
for _ in $(seq 100); do redis-cli -p "$redis_port" ping >/dev/null 2>&1 && break || sleep 0.1; done

# What the notebook itself would have written.
redis-cli -p "$redis_port" XADD OLD '*' subject https://example.com/items/old producer project-old href https://example.com/items/old >/dev/null

cat >"$work/streamgate.yaml" <<YAML
server: { address: 127.0.0.1:$http_port }
admin: { address: 127.0.0.1:0 }
streams:
  - { name: STREAM, mirror: [subject, producer, href] }
  - { name: WATERBODIESFAILURE, mirror: [subject, producer, href] }
sources:
  - { name: notebook, type: redis, stream: STREAM, from: OLD }
subscriptions:
  - name: refused
    stream: STREAM
    filters: [{ exact: { type: com.example.refuse } }]
    sink: { uri: "http://127.0.0.1:9/" }
    delivery: { retry: 0, deadLetterSink: { stream: WATERBODIESFAILURE } }
YAML
REDIS_HOSTNAME=127.0.0.1 REDIS_PORT=$redis_port .cache/streamgate serve --config "$work/streamgate.yaml" 2>"$work/gateway.log" &
pids+=($!)
for _ in $(seq 50); do # until it listens
	.cache/streamgate send --url "http://127.0.0.1:$http_port/STREAM" --href https://example.com/items/new --producer project-a >/dev/null 2>&1 && break || sleep 0.1
done
.cache/streamgate send --url "http://127.0.0.1:$http_port/STREAM" --href https://example.com/items/refused --producer project-b --type com.example.refuse >/dev/null

timeout 30 "$venv/bin/python" docs/interop/origin_subscriber.py "$redis_port" 4 | tee "$work/printed"
for line in \
	'STREAM subject=https://example.com/items/old producer=project-old href=https://example.com/items/old' \
	'STREAM subject=https://example.com/items/new producer=project-a href=https://example.com/items/new' \
	'STREAM subject=https://example.com/items/refused producer=project-b href=https://example.com/items/refused' \
	'WATERBODIESFAILURE subject=https://example.com/items/refused producer=project-b href=https://example.com/items/refused'; do
	grep -qxF "$line" "$work/printed" || { say "missing: $line"; cat "$work/gateway.log"; exit 1; }
done
say "the notebook's subscriber reads everything as before"
