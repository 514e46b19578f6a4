#!/usr/bin/env bash
# go-redis: one XADD whose reply is lost becomes two entries
#
# One would guess: a command that is not idempotent is sent once, and a broken connection is an error for the caller.
# What happens: with default options go-redis sends a command again after a connection error, up to three times, XADD
# included. Redis has executed the first one, so the stream has the event twice and the caller got nil as error.
# Why it matters: a publisher makes duplicates that it cannot see. MaxRetries: -1 hands the error to the caller, who can
# then decide; only an identifier of the producer's own tells whether the entry is there.
#
# Versions: github.com/redis/go-redis/v9 v9.23.0, Redis 7.0.15
# Seen on 2026-12-01:
#> MaxRetries  0: the caller gets an error: false, entries in the stream: 2
#> MaxRetries -1: the caller gets an error: true, entries in the stream: 1
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
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/redis/go-redis/v9"
)

// lossy loses the first reply to an XADD: it reads it from Redis and then ends the connection.
type lossy struct {
	net.Conn
	lost *bool
	xadd bool
}

func (c *lossy) Write(p []byte) (int, error) {
	c.xadd = bytes.Contains(bytes.ToLower(p), []byte("xadd"))
	return c.Conn.Write(p)
}

func (c *lossy) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.xadd && !*c.lost {
		*c.lost = true
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func main() {
	ctx := context.Background()
	for _, retries := range []int{0, -1} { // 0 is the default, which means 3
		lost := false
		client := redis.NewClient(&redis.Options{
			MaxRetries: retries,
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				conn, err := net.Dial("unix", os.Args[1])
				return &lossy{Conn: conn, lost: &lost}, err
			},
		})
		stream := fmt.Sprint("retries", retries)
		err := client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []string{"id", "1"}}).Err()
		fmt.Printf("MaxRetries %2d: the caller gets an error: %v, entries in the stream: %d\n", retries, err != nil, client.XLen(ctx, stream).Val())
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
