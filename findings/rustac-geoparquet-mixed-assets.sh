#!/usr/bin/env bash
# rustac: a GeoParquet file that it has written cannot be read back if some of the items have assets and some have none
#
# One would guess: what rustac.write accepts, rustac.read returns.
# What happens: items with assets come back, items without assets come back, but a file with both is refused while
# reading: the column is null for the items without, and the reader wants an object. Writing reports nothing.
# Why it matters: "assets": {} is valid STAC. One such item makes an archive of a thousand unreadable, and that shows
# only when the file is needed.
#
# Versions: PyPI rustac 0.9.18
# Seen on 2026-12-01:
#> all with assets, parquet: 2 items read
#> all with assets, ndjson: 2 items read
#> all without, parquet: 2 items read
#> all without, ndjson: 2 items read
#> one with, one without, parquet: written, but not readable: invalid type: null, expected a map
#> one with, one without, ndjson: 2 items read
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check rustac==0.9.18
cat >"$work/finding.py" <<'EOF'
import sys

import rustac


def item(name, assets):
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "collection": "c",
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]}, "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": "2026-01-01T00:00:00Z"}, "links": [], "assets": assets,
    }


full = {"data": {"href": "https://example.com/a.tif"}}
for name, items in (
    ("all with assets", [item("1", full), item("2", full)]),
    ("all without", [item("1", {}), item("2", {})]),
    ("one with, one without", [item("1", full), item("2", {})]),
):
    for suffix in ("parquet", "ndjson"):
        path = f"{sys.argv[1]}/items.{suffix}"
        rustac.write_sync(path, items)
        try:
            result = f"{len(rustac.read_sync(path)['features'])} items read"
        except rustac.RustacError as error:
            result = f"written, but not readable: {error}"
        print(f"{name}, {suffix}: {result}")
EOF
"$work/venv/bin/python" "$work/finding.py" "$work" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
