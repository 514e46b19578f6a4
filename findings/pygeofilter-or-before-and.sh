#!/usr/bin/env bash
# pygeofilter: in CQL2 text OR and AND have the same rank, so "a OR b AND c" is "(a OR b) AND c"
#
# One would guess: AND binds tighter than OR, as CQL2's grammar says and SQL does.
# What happens: the parser of CQL2 text groups both from the left. An item of which only the first operand of OR is true
# does not match. cql2 0.6.0, another implementation, reads the same text by the grammar.
# Why it matters: client and server may use different libraries; then the same filter selects different items, and
# nobody reports an error. Parentheses make both agree.
#
# Versions: PyPI pygeofilter 0.4.0 and cql2 0.6.0
# Seen on 2026-12-01:
#> platform = 'sentinel-2a' OR cloud < 20 AND level = 2
#>   matches as read by cql2: True
#>   matches as read by pygeofilter: False
#> platform = 'sentinel-2a' OR (cloud < 20 AND level = 2)
#>   matches as read by cql2: True
#>   matches as read by pygeofilter: True
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pygeofilter==0.4.0 cql2==0.6.0
cat >"$work/finding.py" <<'EOF'
import cql2
from pygeofilter.backends.cql2_json import to_cql2
from pygeofilter.parsers.cql2_text import parse

item = {"type": "Feature", "id": "1", "geometry": None, "properties": {"platform": "sentinel-2a", "cloud": 90, "level": 1}}

for text in (
    "platform = 'sentinel-2a' OR cloud < 20 AND level = 2",
    "platform = 'sentinel-2a' OR (cloud < 20 AND level = 2)",
):
    read_by_pygeofilter = to_cql2(parse(text))
    print(text)
    print("  matches as read by cql2:", cql2.Expr(text).matches(item))
    print("  matches as read by pygeofilter:", cql2.Expr(read_by_pygeofilter).matches(item))
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
