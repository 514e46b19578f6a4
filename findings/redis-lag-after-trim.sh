#!/usr/bin/env bash
# Redis: after XTRIM a consumer group keeps a lag that never goes away
#
# One would guess: XINFO GROUPS counts the entries that a group has not read yet, so lag is at most the length of the
# stream, and 0 once an XREADGROUP has returned everything.
# What happens: a group has read 1 of 10 entries when the stream is trimmed to 3. The lag stays 9. The group then reads
# the 3 that are left; entries-read says 4, and lag says 6, for a group that stands at the last entry of the stream.
# Why it matters: autoscalers and alerts on lag count entries that can never be delivered, and keep the workers up. A
# reader that compares last-delivered-id with the last id of the stream is right.
#
# Versions: Redis 7.0.15. With 8.6.3 the lag is 3 and then 0, with Valkey 9.1.2 it is 9 and then 0.
# Seen on 2026-12-01:
#> 1 of 10 read: length 10, last-delivered-id 1-0 entries-read 1 lag 9
#> trimmed to 3: length 3, last-delivered-id 1-0 entries-read 1 lag 9
#> all 3 read: length 3, last-delivered-id 10-0 entries-read 4 lag 6
#> last id of the stream: 10-0
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

group() { printf '%s: length %s, ' "$1" "$(r xlen s)"; r xinfo groups s | paste -sd ' ' | grep -oE '(last-delivered-id|entries-read|lag) [^ ]*' | paste -sd ' '; }
{
	r xgroup create s g 0 mkstream >/dev/null
	for i in 1 2 3 4 5 6 7 8 9 10; do r xadd s "$i-0" n "$i" >/dev/null; done
	r xreadgroup group g c count 1 streams s '>' >/dev/null
	group "1 of 10 read"
	r xtrim s maxlen 3 >/dev/null
	group "trimmed to 3"
	r xreadgroup group g c streams s '>' >/dev/null
	group "all 3 read"
	echo "last id of the stream: $(r xrevrange s + - count 1 | head -n 1)"
} >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
