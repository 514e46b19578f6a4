#!/usr/bin/env bash
# CloudEvents SDK for Go: data_base64 with an escaped slash is read or refused, depending on the order of the members
#
# One would guess: "\/" in a JSON string is "/", wherever it stands, and the order of members has no meaning.
# What happens: the reader decodes the raw text of the string when it has not met datacontenttype yet, so base64 with
# "\/" is refused if datacontenttype comes later or is absent, and read if it comes before.
# Why it matters: PHP's json_encode escapes slashes by default, and every 64th character of base64 is one. Such a sender
# works as long as its payloads happen to have none.
#
# Versions: github.com/cloudevents/sdk-go/v2 v2.16.2
# Seen on 2026-12-01:
#> ,"datacontenttype":"image/png","data_base64":"AAE\/"}   [0 1 63]
#> ,"data_base64":"AAE\/","datacontenttype":"image/png"}   refused: illegal base64 data at input byte 3
#> ,"data_base64":"AAE/","datacontenttype":"image/png"}    [0 1 63]
#> ,"data_base64":"AAE\/"}                                 refused: illegal base64 data at input byte 3
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

	"github.com/cloudevents/sdk-go/v2/event"
)

func main() {
	const required = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for _, rest := range []string{
		`,"datacontenttype":"image/png","data_base64":"AAE\/"}`,
		`,"data_base64":"AAE\/","datacontenttype":"image/png"}`,
		`,"data_base64":"AAE/","datacontenttype":"image/png"}`,
		`,"data_base64":"AAE\/"}`,
	} {
		var e event.Event
		if err := json.Unmarshal([]byte(required+rest), &e); err != nil {
			fmt.Printf("%-55s refused: %v\n", rest, err)
			continue
		}
		fmt.Printf("%-55s %v\n", rest, e.Data())
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
