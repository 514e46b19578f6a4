#!/usr/bin/env bash
# CloudEvents SDK for Go: bytes received in binary mode become broken JSON in structured mode
#
# One would guess: an event received in binary mode can be written in structured mode; bytes go into data_base64.
# What happens: the bytes of application/octet-stream are written as a string in "data", raw, which is not valid JSON,
# and no error is returned. Text without a content type, which the HTTP binding allows, cannot be written at all.
# Why it matters: a gateway or logger that changes the content mode corrupts images and protobuf silently. It has to set
# Event.DataBase64 itself for whatever is not known to be text.
#
# Versions: github.com/cloudevents/sdk-go/v2 v2.16.2
# Seen on 2026-12-01:
#> content type "application/octet-stream": valid true, written without an error: "\"datacontenttype\":\"application/octet-stream\",\"data\":\"\x89PNG\\u0000\xff\"}", valid UTF-8: false
#> content type "text/plain": valid true, written without an error: "\"datacontenttype\":\"text/plain\",\"data\":\"hello\"}", valid UTF-8: true
#> content type "": valid true, cannot be written: json: error calling MarshalJSON for type *event.Event: invalid character 'h' looking for beginning of value
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
	"unicode/utf8"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func main() {
	show("application/octet-stream", "\x89PNG\x00\xff")
	show("text/plain", "hello")
	show("", "hello")
}

func show(contentType, body string) {
	request := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for name, value := range map[string]string{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} {
		request.Header.Set("ce-"+name, value)
	}
	event, err := cehttp.NewEventFromHTTPRequest(request)
	if err != nil {
		panic(err)
	}
	fmt.Printf("content type %q: valid %v", contentType, event.Validate() == nil)
	written, err := json.Marshal(event)
	if err != nil {
		fmt.Println(", cannot be written:", err)
		return
	}
	_, data, _ := strings.Cut(string(written), `"data`)
	fmt.Printf(", written without an error: %q, valid UTF-8: %v\n", `"data`+data, utf8.Valid(written))
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
