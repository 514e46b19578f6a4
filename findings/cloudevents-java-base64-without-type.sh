#!/usr/bin/env bash
# CloudEvents SDK for Java: data_base64 without datacontenttype is written as bare bytes, and the result is not JSON
#
# One would guess: an event that was read from data_base64 is written to data_base64 again, at least as a string.
# What happens: without datacontenttype the writer takes the data for JSON and puts the decoded bytes into the document
# as they are. serialize() returns without an error, and nobody can parse the result, this SDK included.
# Why it matters: the JSON format allows exactly this combination, for data of an unknown type. A router in Java that
# reads and writes such events emits broken documents. A datacontenttype avoids it.
#
# Versions: io.cloudevents:cloudevents-json-jackson 4.0.1, Java 17
# Seen on 2026-12-01:
#> read    ..."data_base64":"aGVsbG8="
#> written ..."data":hello}
#> readable: no
#> read    ..."datacontenttype":"text/plain","data_base64":"aGVsbG8="
#> written ..."datacontenttype":"text/plain","data_base64":"aGVsbG8="}
#> readable: yes
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
for tool in java mvn; do
	command -v "$tool" >/dev/null || { echo "$tool is missing: a JDK 17 and Maven are needed" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<'EOF'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>io.cloudevents</groupId><artifactId>cloudevents-json-jackson</artifactId><version>4.0.1</version></dependency>
  </dependencies>
</project>
EOF
cat >"$work/Finding.java" <<'EOF'
import io.cloudevents.jackson.JsonFormat;
import java.nio.charset.StandardCharsets;

public class Finding {
  public static void main(String[] args) {
    show("\"data_base64\":\"aGVsbG8=\"");
    show("\"datacontenttype\":\"text/plain\",\"data_base64\":\"aGVsbG8=\"");
  }

  static void show(String rest) {
    var format = new JsonFormat();
    String text = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"," + rest + "}";
    var event = format.deserialize(text.getBytes(StandardCharsets.UTF_8));
    byte[] written = format.serialize(event);
    String readable = "yes";
    try {
      format.deserialize(written);
    } catch (RuntimeException e) {
      readable = "no";
    }
    System.out.println("read    ..." + rest);
    System.out.println("written ..." + new String(written, StandardCharsets.UTF_8).split("\"type\":\"t\",")[1]);
    System.out.println("readable: " + readable);
  }
}
EOF
(
	cd "$work"
	mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$work/lib" >&2
	java -cp 'lib/*' Finding.java
) >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
