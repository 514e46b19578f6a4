#!/usr/bin/env bash
# CloudEvents SDK for Python: a Boolean attribute is written as "True" in binary mode
#
# One would guess: the canonical string form of a Boolean is written, which the specification says is "true" or "false".
# What happens: binary mode writes Python's own "True" and "False", over HTTP and Kafka alike; structured mode is right.
# Why it matters: the same event has another attribute value in each content mode, and filters like exact: {urgent:
# "true"} miss the binary one. The SDK reads its own header back as the string "True".
#
# Versions: PyPI cloudevents 2.2.0
# Seen on 2026-12-01:
#> HTTP, binary: {'ce-urgent': 'True', 'ce-count': '5'}
#> Kafka, binary: {'ce_urgent': b'True', 'ce_count': b'5'}
#> HTTP, structured: True True
#> read back from binary: 'True'
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
cat >"$work/finding.py" <<'EOF'
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent

event = CloudEvent({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "urgent": True, "count": 5}, b"x")
binary = http.to_binary_event(event)
print("HTTP, binary:", {k: v for k, v in binary.headers.items() if k in ("ce-urgent", "ce-count")})
headers = kafka.to_binary_event(event).headers
print("Kafka, binary:", {k: v for k, v in headers.items() if k in ("ce_urgent", "ce_count")})
structured = http.to_structured_event(event).body.decode()
print("HTTP, structured:", '"urgent": true' in structured, '"count": 5' in structured)
print("read back from binary:", repr(http.from_http_event(binary).get_extension("urgent")))
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
