#!/usr/bin/env bash
# Shows that the Redis Streams binding is one that others can implement: what Go writes, Python reads as the same events,
# and the other way round. The Python side is docs/examples/python. Everything runs on loopback.
#
# Environment:
#   INTEROP_EVENTS    events in each direction                            (default 500)
#   INTEROP_SEED      another number makes other random events          (default 1)
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
trap 'exit 130' INT
trap 'exit 143' TERM

# As in the Makefile: a workspace or other flags would bring other versions.
export GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false'
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=docs/examples/python

venv=.cache/binding-venv
requirements=docs/examples/python/requirements.txt
if ! cmp -s "$requirements" "$venv/installed.txt"; then
	say "installing redis-py and the CloudEvents SDK for Python"
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
	cp "$requirements" "$venv/installed.txt"
fi
internal/tools/install-test-deps.sh
go build -o "$work/binding" ./docs/interop/binding

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >"$work/redis.log" &
pids+=($!)
for _ in $(seq 100); do
	if redis-cli -p "$port" ping >/dev/null 2>&1; then break; fi
	sleep 0.1
done

go_side() { "$work/binding" "$1" -redis "127.0.0.1:$port" -stream "$2" <"$work/manifest"; }
python_side() { timeout 120 "$venv/bin/python" docs/interop/binding/peer.py "$1" "redis://127.0.0.1:$port" "$2" <"$work/manifest"; }
vectors=protocol/redisstreams/testdata/spec/vectors.json
failed=

# direction WRITER READER: both use the stream of the writer's name.
direction() {
	"${1}_side" write "$1"
	local result
	result=$("${2}_side" read "$1") || failed=1
	say "$1 -> $2: ${result:-failed}"
}

"$work/binding" generate -events "${INTEROP_EVENTS:-500}" -seed "${INTEROP_SEED:-1}" >"$work/manifest"
direction go python
direction python go

result=$(timeout 120 "$venv/bin/python" docs/interop/binding/vectors.py "redis://127.0.0.1:$port" vectors <"$vectors") || failed=1
say "specification -> python: ${result:-failed}"
if [ -n "$failed" ]; then
	say "FAILED: the sides of the binding do not agree"
	exit 1
fi
