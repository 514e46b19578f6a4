#!/usr/bin/env bash
# CloudEvents SDK for Go: GeoJSON data is refused, and a batch with one such event is lost as a whole
#
# One would guess: data is a JSON value when the content type is application/json or ends in +json, as the JSON format
# says.
# What happens: the reader knows a fixed list of JSON types. Under application/geo+json it takes only a string for data,
# so an event that the specification calls correct is refused, and one of them fails a whole batch. The writer puts the
# JSON of such an event, received in binary mode, into a string.
# Why it matters: structured mode and batches, which other SDKs understand, cannot carry GeoJSON, merge patches or
# problem documents to receivers in Go. Binary mode can; or the sender declares application/json.
#
# Versions: github.com/cloudevents/sdk-go/v2 v2.16.2
# Seen on 2026-12-01:
#> structured, application/geo+json: unexpected data payload for media type "application/geo+json", expected a string
#> structured, application/json: read
#> batch of both: unexpected data payload for media type "application/geo+json", expected a string
#> binary, written as structured: {"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/geo+json","data":"{\"type\":\"Point\",\"coordinates\":[1,2]}"} <nil>
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
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

const (
	point = `{"type":"Point","coordinates":[1,2]}`
	geo   = `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/geo+json","data":` + point + `}`
	plain = `{"specversion":"1.0","id":"2","source":"/s","type":"t","datacontenttype":"application/json","data":` + point + `}`
)

func main() {
	var e event.Event
	err := json.Unmarshal([]byte(geo), &e)
	fmt.Println("structured, application/geo+json:", first(err))
	fmt.Println("structured, application/json:", first(json.Unmarshal([]byte(plain), &e)))

	request := httptest.NewRequest("POST", "/", strings.NewReader("["+plain+","+geo+"]"))
	request.Header.Set("Content-Type", "application/cloudevents-batch+json")
	_, err = cehttp.NewEventsFromHTTPRequest(request)
	fmt.Println("batch of both:", first(err))

	request = httptest.NewRequest("POST", "/", strings.NewReader(point))
	request.Header.Set("Content-Type", "application/geo+json")
	for name, value := range map[string]string{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} {
		request.Header.Set("ce-"+name, value)
	}
	received, err := cehttp.NewEventFromHTTPRequest(request)
	if err != nil {
		panic(err)
	}
	written, err := json.Marshal(received)
	fmt.Println("binary, written as structured:", string(written), err)
}

func first(err error) string {
	if err == nil {
		return "read"
	}
	text, _, _ := strings.Cut(err.Error(), ":")
	return text
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
