#!/usr/bin/env bash
# CloudEvents SDKs for Python and JavaScript: reading an event without a time gives it the time of reading
#
# One would guess: time is optional, so an event that has none has none after reading as well.
# What happens: both readers put the present time in, and write it when the event is passed on. Each time that the same
# event is read, it has another time.
# Why it matters: a consumer cannot tell the time of the occurrence from the time when it looked, a proxy changes what
# it forwards, and redelivered events differ, so comparisons by content fail. A sender that wants one time has to set
# it.
#
# Versions: PyPI cloudevents 2.2.0; npm cloudevents 10.0.0, Node.js 20
# Seen on 2026-12-01:
#> Python: time after reading: True and again the same: False
#> Python: time when passed on: True
#> JavaScript: time after reading: true and again the same: false
#> JavaScript: time when passed on: true
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
for tool in python3 node npm; do
	command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts cloudevents@10.0.0)
cat >"$work/finding.py" <<'EOF'
import json
import time

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_structured_event

message = HTTPMessage(
    {"content-type": "application/cloudevents+json"},
    json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}).encode(),
)
one = from_http_event(message)
time.sleep(0.1)
two = from_http_event(message)
print("Python: time after reading:", one.get_time() is not None, "and again the same:", one.get_time() == two.get_time())
print("Python: time when passed on:", "time" in json.loads(to_structured_event(one).body))
EOF
cat >"$work/finding.cjs" <<'EOF'
const { HTTP } = require("cloudevents");

const message = {
  headers: { "content-type": "application/cloudevents+json" },
  body: JSON.stringify({ specversion: "1.0", id: "1", source: "/s", type: "t" }),
};
const one = HTTP.toEvent(message);
setTimeout(() => {
  const two = HTTP.toEvent(message);
  console.log("JavaScript: time after reading:", one.time !== undefined, "and again the same:", one.time === two.time);
  console.log("JavaScript: time when passed on:", "time" in JSON.parse(HTTP.structured(one).body));
}, 100);
EOF
{
	"$work/venv/bin/python" "$work/finding.py"
	(cd "$work" && node finding.cjs)
} >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
