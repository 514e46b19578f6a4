#!/usr/bin/env bash
# CloudEvents SDK for Java: an extension that is null becomes the text "null"
#
# One would guess: in the JSON format null means that an attribute is not there, for extensions as for subject or time.
# What happens: a null subject is absent, and a null extension is the string "null", which is then written and sent as
# such.
# Why it matters: change data capture writes many nulls. Filters on the existence of the extension match, and a
# correlation or partition key "null" brings together events that have nothing in common.
#
# Versions: io.cloudevents:cloudevents-json-jackson 4.0.1, Java 17
# Seen on 2026-12-01:
#> subject: absent
#> partitionkey: String "null"
#> written: {"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"null"}
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
    var format = new JsonFormat();
    String text = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"subject\":null,\"partitionkey\":null}";
    var event = format.deserialize(text.getBytes(StandardCharsets.UTF_8));
    System.out.println("subject: " + (event.getSubject() == null ? "absent" : "text of " + event.getSubject().length()));
    Object key = event.getExtension("partitionkey");
    System.out.println("partitionkey: " + (key == null ? "absent" : key.getClass().getSimpleName() + " \"" + key + "\""));
    System.out.println("written: " + new String(format.serialize(event), StandardCharsets.UTF_8));
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
