#!/usr/bin/env bash
# pygeofilter: NOT IN, NOT LIKE and NOT BETWEEN become their opposites on the way from CQL2 text to CQL2 JSON
#
# One would guess: the JSON form of a filter selects the same items as the text form.
# What happens: the writer of CQL2 JSON drops the NOT of these three operators without an error. NOT in front of a
# parenthesis, and IS NOT NULL, are kept. The BETWEEN that it writes has its bounds in a list of their own, which is not
# CQL2 JSON.
# Why it matters: a STAC client that takes text from users and posts JSON gets exactly the items that were to be left
# out. cql2 0.6.0, another implementation, converts all of them correctly and shows the difference here.
#
# Versions: PyPI pygeofilter 0.4.0 and cql2 0.6.0
# Seen on 2026-12-01:
#> platform IN ('landsat-8', 'landsat-9')
#>   {"op": "in", "args": [{"property": "platform"}, ["landsat-8", "landsat-9"]]}
#>   the item matches the text: True, the JSON: True
#> platform NOT IN ('landsat-8', 'landsat-9')
#>   {"op": "in", "args": [{"property": "platform"}, ["landsat-8", "landsat-9"]]}
#>   the item matches the text: False, the JSON: True
#> platform NOT LIKE 'landsat%'
#>   {"op": "like", "args": [{"property": "platform"}, "landsat%"]}
#>   the item matches the text: False, the JSON: True
#> level NOT BETWEEN 1 AND 3
#>   {"op": "between", "args": [{"property": "level"}, [1, 3]]}
#>   the item matches the text: False, the JSON: refused
#> NOT (platform IN ('landsat-8', 'landsat-9'))
#>   {"op": "not", "args": [{"op": "in", "args": [{"property": "platform"}, ["landsat-8", "landsat-9"]]}]}
#>   the item matches the text: False, the JSON: False
#> platform IS NOT NULL
#>   {"op": "not", "args": [{"op": "isNull", "args": [{"property": "platform"}]}]}
#>   the item matches the text: True, the JSON: True
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

item = {"type": "Feature", "id": "1", "geometry": None, "properties": {"platform": "landsat-8", "level": 2}}


def matches(expression):
    try:
        return cql2.Expr(expression).matches(item)
    except Exception:
        return "refused"


for text in (
    "platform IN ('landsat-8', 'landsat-9')",
    "platform NOT IN ('landsat-8', 'landsat-9')",
    "platform NOT LIKE 'landsat%'",
    "level NOT BETWEEN 1 AND 3",
    "NOT (platform IN ('landsat-8', 'landsat-9'))",
    "platform IS NOT NULL",
):
    json_form = to_cql2(parse(text))
    print(f"{text}\n  {json_form}\n  the item matches the text: {matches(text)}, the JSON: {matches(json_form)}")
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
