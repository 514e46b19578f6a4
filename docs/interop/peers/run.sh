#!/usr/bin/env bash
# Lets the peers publish to a redis-server of its own once more, and compares what they write with
# protocol/redisstreams/layout/testdata/peers: the same peers, cases and ids, and in each entry the same fields of the same lengths.
# --write replaces those files instead. Needs Go, Python with venv, Node with npm, and redis-server; installs the peers into a
# temporary folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'interop: %s\n' "$*"; }

write=
case "${1-}" in
'') ;;
--write) write=1 ;;
*) say "usage: run.sh [--write]" >&2; exit 2 ;;
esac

work=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work" 2>/dev/null || { sleep 2; rm -rf "$work"; } # a child of theirs may write for a moment longer
}
trap finish EXIT

# In the background, so that a signal to this script ends them at once.
run() {
	"$@" &
	pids+=($!)
	wait "$!"
}

# As in the Makefile: a workspace or other flags would bring other versions.
export GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false'
committed=../../../protocol/redisstreams/layout/testdata/peers

say "installing redis-py"
run python3 -m venv "$work/venv"
run "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'redis==5.2.1'
for version in 0.7.8 0.6.7 0.5.48; do
	say "installing FastStream $version"
	run python3 -m venv "$work/faststream-$version"
	run "$work/faststream-$version/bin/pip" install --quiet --disable-pip-version-check "faststream[redis]==$version"
done
say "installing taskiq and BullMQ"
run python3 -m venv "$work/taskiq-1.2.4"
run "$work/taskiq-1.2.4/bin/pip" install --quiet --disable-pip-version-check 'taskiq==0.13.0' 'taskiq-redis==1.2.4'
mkdir "$work/bullmq-6.7.0"
printf '{"private":true}\n' >"$work/bullmq-6.7.0/package.json"
run npm install --prefix "$work/bullmq-6.7.0" --silent --no-audit --no-fund bullmq@6.7.0 ioredis@6.0.0
run go build -o "$work/peers" .

mkdir "$work/recorded"
run "$work/peers" -python "$work/venv/bin/python" -environments "$work" "$work/recorded"

if [ -n "$write" ]; then
	mkdir -p "$committed/fields"
	rm -f "$committed"/*.json "$committed"/fields/*.json
	cp -r "$work/recorded"/. "$committed"
	say "wrote $(find "$committed" -name '*.json' | wc -l) files"
	exit
fi
"$work/peers" -compare "$committed" "$work/recorded"
say "the peers write what they wrote before"
