#!/usr/bin/env bash
# Redis: XAUTOCLAIM returns an empty page although there is an entry to claim
#
# One would guess: a reply without entries means that nothing in the pending list is idle long enough, so a claim loop
# may stop.
# What happens: XAUTOCLAIM looks at no more than ten times COUNT pending entries in one call, claimable or not. With 300
# entries pending, of which a live consumer has just renewed all but the last, the first two calls with COUNT 10 return
# nothing and a cursor; only the third returns the entry that a dead consumer left behind.
# Why it matters: a consumer that stops at the first empty page, or begins at 0 in every round, never takes over entries
# behind a hundred busy ones. Only the cursor 0-0 ends a scan.
#
# Versions: Redis 7.0.15; the same with Redis 8.6.3 and Valkey 9.1.2
# Seen on 2026-12-01:
#> XAUTOCLAIM from 0-0: cursor 101-0, claimed nothing
#> XAUTOCLAIM from 101-0: cursor 201-0, claimed nothing
#> XAUTOCLAIM from 201-0: cursor 0-0, claimed 300-0
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 120 bash "$0"; fi
for tool in "${REDIS_SERVER:=redis-server}" redis-cli; do
	command -v "$tool" >/dev/null || { echo "$tool is missing: install Debian's redis-server" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$REDIS_SERVER" --port 0 --unixsocket "$work/s" --save '' --dir "$work" --logfile "$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
r() { redis-cli -s "$work/s" "$@"; }
until r ping >/dev/null 2>&1; do kill -0 "$server"; sleep 0.1; done
r info server | grep -E '^(redis|valkey)_version' | tr -d '\r'

{
	r xgroup create s g 0 mkstream >/dev/null
	for i in $(seq 300); do echo "xadd s $i-0 n $i"; done | r >/dev/null
	r xreadgroup group g dead count 300 streams s '>' >/dev/null
	sleep 5
	# A renewed lease: 299 of the 300 are not idle any more.
	r xclaim s g live 0 $(seq -f '%.0f-0' 299) justid >/dev/null
	cursor=0-0
	while :; do
		reply=$(r xautoclaim s g me 4000 "$cursor" count 10 justid | paste -sd ' ' | sed 's/ *$//')
		echo "XAUTOCLAIM from $cursor: cursor ${reply%% *}, claimed $([ "$reply" = "${reply%% *}" ] && echo nothing || echo "${reply#* }")"
		cursor=${reply%% *}
		[ "$cursor" != 0-0 ] || break
	done
} >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
