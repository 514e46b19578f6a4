#!/usr/bin/env bash
# CloudEvents SQL: the SDKs for Go and Java give different results for the same expression and event
#
# One would guess: two implementations that run the official test kit agree about an event without a subject.
# What happens: "subject = 'x' OR TRUE" is false with an error in Go, and true without one in Java. "1 IN ('a', 1)" is
# false in Go and true in Java, each with an error for the cast of 'a'. With the operands exchanged both say true.
# Why it matters: an event may pass a filter in one broker and not in another, and the order of the operands of OR and
# IN decides it. Where an attribute is optional, EXISTS has to come first.
#
# Versions: github.com/cloudevents/sdk-go/sql/v2 v2.16.2; io.cloudevents:cloudevents-sql 4.0.1 on Java 17
# Seen on 2026-12-01 (value, then whether there was an error):
#> subject = 'x' OR TRUE                       Go false true  Java true false
#> TRUE OR subject = 'x'                       Go true false  Java true false
#> (EXISTS subject AND subject = 'x') OR TRUE  Go true false  Java true false
#> subject != 'x'                              Go false true  Java false true
#> 1 IN ('a', 1)                               Go false true  Java true true
#> 1 IN (1, 'a')                               Go true false  Java true false
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 600 bash "$0"; fi
for tool in go java mvn; do
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
cat >"$work/expressions" <<'EOF'
subject = 'x' OR TRUE
TRUE OR subject = 'x'
(EXISTS subject AND subject = 'x') OR TRUE
subject != 'x'
1 IN ('a', 1)
1 IN (1, 'a')
EOF
cat >"$work/main.go" <<'EOF'
package main

import (
	"bufio"
	"fmt"
	"os"

	cesql "github.com/cloudevents/sdk-go/sql/v2/parser"
	"github.com/cloudevents/sdk-go/v2/event"
)

func main() {
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		parsed, err := cesql.Parse(lines.Text())
		if err != nil {
			panic(err)
		}
		v, err := parsed.Evaluate(e)
		fmt.Println(v, err != nil)
	}
}
EOF
cat >"$work/pom.xml" <<'EOF'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>io.cloudevents</groupId><artifactId>cloudevents-core</artifactId><version>4.0.1</version></dependency>
    <dependency><groupId>io.cloudevents</groupId><artifactId>cloudevents-sql</artifactId><version>4.0.1</version></dependency>
  </dependencies>
</project>
EOF
cat >"$work/Finding.java" <<'EOF'
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.sql.EvaluationRuntime;
import io.cloudevents.sql.Parser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;

public class Finding {
  public static void main(String[] args) throws Exception {
    var event = CloudEventBuilder.v1().withId("1").withSource(URI.create("/s")).withType("t").build();
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = lines.readLine()) != null; ) {
      var result = Parser.getDefault().parse(line).evaluate(EvaluationRuntime.getDefault(), event);
      System.out.println(result.value() + " " + result.isFailed());
    }
  }
}
EOF
(
	cd "$work"
	mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$work/lib" >&2
	go run . <expressions >go.out
	java -cp 'lib/*' Finding.java <expressions >java.out
	paste expressions go.out java.out | while IFS=$'\t' read -r expression go java; do
		printf '%-43s Go %-11s Java %s\n' "$expression" "$go" "$java"
	done
) >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
