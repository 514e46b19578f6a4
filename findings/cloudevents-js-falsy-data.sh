#!/usr/bin/env bash
# CloudEvents SDK for JavaScript: data that is 0, false or "" is gone after reading
#
# One would guess: every JSON value may be data, so a reader gives back 0 as it gives back 1.
# What happens: the structured reader keeps data only if it is "truthy". 0, false and the empty string arrive as
# undefined; the writer writes them correctly, so an event does not survive the SDK's own round trip.
# Why it matters: a counter or a switch that happens to be 0 or off looks like an event without data to receivers in
# Node. An object around the value, or binary mode, avoids it.
#
# Versions: npm cloudevents 10.0.0, Node.js 20
# Seen on 2026-12-01:
#> data 1: written 1, read 1
#> data 0: written 0, read undefined
#> data true: written true, read true
#> data false: written false, read undefined
#> data "a": written "a", read "a"
#> data "": written "", read undefined
#> data []: written [], read []
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
for tool in node npm; do
	command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts cloudevents@10.0.0)
cat >"$work/finding.cjs" <<'EOF'
const { CloudEvent, HTTP } = require("cloudevents");

for (const data of [1, 0, true, false, "a", "", []]) {
  const event = new CloudEvent({ id: "1", source: "/s", type: "t", datacontenttype: "application/json", data });
  const { headers, body } = HTTP.structured(event);
  const wire = JSON.parse(body).data;
  const back = HTTP.toEvent({ headers, body }).data;
  console.log(`data ${JSON.stringify(data)}: written ${JSON.stringify(wire)}, read ${JSON.stringify(back)}`);
}
EOF
(cd "$work" && node finding.cjs) >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
