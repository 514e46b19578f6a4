#!/usr/bin/env bash
# CloudEvents SDK for Go: an event sent to a target that redirects is acknowledged although its data reached nobody
#
# One would guess: the HTTP client reports a redirect as a failure, since the web hook specification says that it must
# not be followed; or it follows and posts the event there.
# What happens: after 301 or 302 the client asks the new address with GET, without the data, and reports its 200 as
# acknowledgement. (308 posts the event again.)
# Why it matters: a sink that moves from http to https, or to a path with a slash at the end, swallows every event, and
# the sender counts all of them as delivered. An http.Client with CheckRedirect does not.
#
# Versions: github.com/cloudevents/sdk-go/v2 v2.16.2
# Seen on 2026-12-01:
#> 301: the new address gets GET with 0 bytes, acknowledged: true
#> 302: the new address gets GET with 0 bytes, acknowledged: true
#> 308: the new address gets POST with 7 bytes, acknowledged: true
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 600 bash "$0"; fi
for tool in go; do
	command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOWORK=off GOFLAGS=-mod=mod

cat >"$work/go.mod" <<'EOF'
module finding

go 1.26

require github.com/cloudevents/sdk-go/v2 v2.16.2
EOF
cat >"$work/main.go" <<'EOF'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	for _, status := range []int{301, 302, 308} {
		var seen string
		mux := http.NewServeMux()
		mux.Handle("/hook", http.RedirectHandler("/hook/", status))
		mux.HandleFunc("/hook/", func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			seen = fmt.Sprintf("%s with %d bytes", r.Method, len(body))
		})
		server := httptest.NewServer(mux)
		client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(server.URL + "/hook"))
		if err != nil {
			panic(err)
		}
		event := cloudevents.NewEvent()
		event.SetID("1")
		event.SetSource("/s")
		event.SetType("t")
		if err := event.SetData(cloudevents.ApplicationJSON, map[string]int{"n": 1}); err != nil {
			panic(err)
		}
		result := client.Send(context.Background(), event)
		fmt.Printf("%d: the new address gets %s, acknowledged: %v\n", status, seen, cloudevents.IsACK(result))
		server.Close()
	}
}
EOF
(cd "$work" && go run .) >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
