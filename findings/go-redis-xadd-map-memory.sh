#!/usr/bin/env bash
# go-redis and Redis: a map of values in XADD costs more than half as much memory again
#
# One would guess: XAddArgs.Values takes a map or a slice, and which one it is does not matter to Redis.
# What happens: Redis stores the field names once for a block of entries, if the later entries have the same fields in
# the same order. Go ranges over a map in another order each time, so the names are stored again with nearly every
# entry.
# Why it matters: a stream of events with one field an attribute, which is what a binding writes, holds a third fewer
# events in the same memory. A slice keeps the order.
#
# Versions: github.com/redis/go-redis/v9 v9.23.0, Redis 7.0.15
# Seen on 2026-12-01 (178 bytes an entry as a map, 107 as a slice):
#> a map needs at least half as much again as a slice: true
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 600 bash "$0"; fi
for tool in go redis-server redis-cli; do
	command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOWORK=off GOFLAGS=-mod=mod
redis-server --port 0 --unixsocket "$work/s" --save '' --dir "$work" --logfile "$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
until redis-cli -s "$work/s" ping >/dev/null 2>&1; do kill -0 "$server"; sleep 0.1; done

cat >"$work/go.mod" <<'EOF'
module finding

go 1.26

require github.com/redis/go-redis/v9 v9.23.0
EOF
cat >"$work/main.go" <<'EOF'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

const entries = 5000

func main() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: os.Args[1]})
	defer client.Close()
	size := func(stream string, values func(id string) any) float64 {
		pipe := client.Pipeline()
		for i := range entries {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: values(fmt.Sprint(i))})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			panic(err)
		}
		bytes := float64(client.MemoryUsage(ctx, stream, 0).Val()) / entries
		fmt.Fprintf(os.Stderr, "%s: %.0f bytes an entry\n", stream, bytes)
		return bytes
	}
	asMap := size("map", func(id string) any {
		return map[string]string{
			"ce_specversion": "1.0", "ce_id": id, "ce_source": "/sensors/1", "ce_type": "com.example.measured",
			"ce_time": "2026-01-01T00:00:00Z", "content-type": "application/json", "data": "{}",
		}
	})
	asSlice := size("slice", func(id string) any {
		return []string{
			"ce_specversion", "1.0", "ce_id", id, "ce_source", "/sensors/1", "ce_type", "com.example.measured",
			"ce_time", "2026-01-01T00:00:00Z", "content-type", "application/json", "data", "{}",
		}
	})
	fmt.Println("a map needs at least half as much again as a slice:", asMap >= 1.5*asSlice)
}
EOF
(cd "$work" && go run . "$work/s") >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
