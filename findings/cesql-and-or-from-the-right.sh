#!/usr/bin/env bash
# CloudEvents SQL: the SDK for Go groups AND and OR from the right, and both with the same rank
#
# One would guess: AND binds tighter than OR, as in SQL.
# What happens: in CloudEvents SQL they have the same rank, together with XOR, and the text of the specification says
# that operators of one rank are grouped from the left. The SDK groups them from the right, as does its grammar. So "a
# OR b AND c" and "a AND b OR c" have up to three readings.
# Why it matters: a filter that mixes them lets other events pass than its author meant, or other events after a change
# of the implementation. Parentheses are the only portable form.
#
# Versions: github.com/cloudevents/sdk-go/sql/v2 v2.16.2 (the SDK for Java 4.0.1 groups like it)
# Seen on 2026-12-01:
#> TRUE OR TRUE AND FALSE   SDK true   specification false  SQL true
#> FALSE AND TRUE OR TRUE   SDK false  specification true   SQL true
#> FALSE AND TRUE XOR TRUE  SDK false  specification true   SQL true
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

require (
	github.com/cloudevents/sdk-go/sql/v2 v2.16.2
	github.com/cloudevents/sdk-go/v2 v2.16.2
)
EOF
cat >"$work/main.go" <<'EOF'
package main

import (
	"fmt"

	cesql "github.com/cloudevents/sdk-go/sql/v2/parser"
	"github.com/cloudevents/sdk-go/v2/event"
)

func value(expression string) any {
	parsed, err := cesql.Parse(expression)
	if err != nil {
		panic(err)
	}
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	v, err := parsed.Evaluate(e)
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	for _, forms := range [][3]string{
		// as written, grouped from the left (the specification's text), with AND before OR (SQL)
		{"TRUE OR TRUE AND FALSE", "(TRUE OR TRUE) AND FALSE", "TRUE OR (TRUE AND FALSE)"},
		{"FALSE AND TRUE OR TRUE", "(FALSE AND TRUE) OR TRUE", "(FALSE AND TRUE) OR TRUE"},
		{"FALSE AND TRUE XOR TRUE", "(FALSE AND TRUE) XOR TRUE", "(FALSE AND TRUE) XOR TRUE"},
	} {
		fmt.Printf("%-24s SDK %-6v specification %-6v SQL %v\n", forms[0], value(forms[0]), value(forms[1]), value(forms[2]))
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
