#!/usr/bin/env bash
# go-redis: cancelling the context does not end a blocked read, a deadline may
#
# One would guess: XREADGROUP with BLOCK returns when its context is cancelled.
# What happens: it returns when Redis answers, after the whole BLOCK time, with the same error as an empty read. A
# deadline in the context ends the read early, but only with ContextTimeoutEnabled, which is off by default.
# Why it matters: a graceful stop takes as long as BLOCK, and with Block: 0, the zero value, which means for ever, it
# never ends. So BLOCK has to be short, or the connection has to be closed.
#
# Versions: github.com/redis/go-redis/v9 v9.23.0, Redis 7.0.15
# Seen on 2026-12-01:
#> ContextTimeoutEnabled false, cancelled: after the whole BLOCK, redis: nil
#> ContextTimeoutEnabled false, deadline: after the whole BLOCK, redis: nil
#> ContextTimeoutEnabled true, cancelled: after the whole BLOCK, redis: nil
#> ContextTimeoutEnabled true, deadline: early, time-out
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
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

const block = 4 * time.Second

// read blocks on an empty stream, and says how the read ended and whether it took the whole time.
func read(ctx context.Context, client *redis.Client) string {
	start := time.Now()
	err := client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "g", Consumer: "c", Streams: []string{"s", ">"}, Block: block,
	}).Err()
	length := "early"
	if time.Since(start) >= block {
		length = "after the whole BLOCK"
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return length + ", time-out"
	}
	return fmt.Sprintf("%s, %v", length, err)
}

func main() {
	for _, enabled := range []bool{false, true} {
		client := redis.NewClient(&redis.Options{Network: "unix", Addr: os.Args[1], ContextTimeoutEnabled: enabled})
		client.XGroupCreateMkStream(context.Background(), "s", "g", "0")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(200*time.Millisecond, cancel)
		fmt.Printf("ContextTimeoutEnabled %v, cancelled: %s\n", enabled, read(ctx, client))
		ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
		fmt.Printf("ContextTimeoutEnabled %v, deadline: %s\n", enabled, read(ctx, client))
		cancel()
		client.Close()
	}
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
