#!/usr/bin/env bash
# Redis: three commands give three answers about a pending entry that was deleted
#
# One would guess: an entry that is deleted, or trimmed away, while it is pending is either gone from the pending list
# as well, or reported in the same way by every command that reads that list.
# What happens: reading one's own history with XREADGROUP returns the id with nil instead of fields and keeps it
# pending; XCLAIM returns nothing and removes it without a trace; XAUTOCLAIM removes it and names it in a list of its
# own.
# Why it matters: a consumer that reads its history until it is empty reads such ids for ever, one that reclaims with
# XCLAIM cannot count what was lost, and only XAUTOCLAIM can tell a lost entry from none.
#
# Versions: Redis 7.0.15; the same with Redis 8.6.3 and Valkey 9.1.2
# Seen on 2026-12-01:
#> XREADGROUP of the history:
#>   2) 1) 1) "1-0"
#>   2) (nil)
#>   still pending: 1-0 2-0 3-0
#> XCLAIM of 1-0:
#>   (empty array)
#>   still pending: 2-0 3-0
#> XAUTOCLAIM from 2-0:
#>   1) "3-0"
#>   2) (empty array)
#>   3) 1) "2-0"
#>   still pending: 3-0
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

pending() { echo "  still pending: $(r xpending s g - + 10 | grep -E '^[0-9]+-0$' | paste -sd ' ')"; }
{
	r xgroup create s g 0 mkstream >/dev/null
	for i in 1 2 3; do r xadd s "$i-0" n "$i" >/dev/null; done
	r xreadgroup group g c streams s '>' >/dev/null
	r xdel s 1-0 2-0 3-0 >/dev/null
	echo "XREADGROUP of the history:"
	r --no-raw xreadgroup group g c count 1 streams s 0 | sed 's/^ */  /' | sed -n 2,3p
	pending
	echo "XCLAIM of 1-0:"
	r --no-raw xclaim s g other 0 1-0 | sed 's/^/  /'
	pending
	echo "XAUTOCLAIM from 2-0:"
	r --no-raw xautoclaim s g other 0 2-0 count 1 | sed 's/^/  /'
	pending
} >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
