#!/usr/bin/env bash
# pystac-client: searching day by day leaves out the last second of every day
#
# One would guess: datetime="2026-01-01" covers the whole day, so that searches for successive days find every item.
# What happens: a day, month or year ends at 23:59:59Z. Acquisition times have fractions of a second, and an item taken
# at 23:59:59.024Z on the last day of a month is in no day and in no month.
# Why it matters: harvesting by day loses an item now and then, and no count shows it. Intervals that share their ends,
# such as 2026-01-01T00:00:00Z/2026-01-02T00:00:00Z, have no gap, and duplicates on the seam are easy to drop.
#
# Versions: PyPI pystac-client 0.9.1, pystac 1.15.2
# Seen on 2026-12-01:
#> 2026-01-31: 2026-01-31T00:00:00Z/2026-01-31T23:59:59Z, covers 31 Jan 23:59:59.024000: False
#> 2026-02-01: 2026-02-01T00:00:00Z/2026-02-01T23:59:59Z, covers 31 Jan 23:59:59.024000: False
#> 2026-01: 2026-01-01T00:00:00Z/2026-01-31T23:59:59Z, covers 31 Jan 23:59:59.024000: False
#> 2026-02: 2026-02-01T00:00:00Z/2026-02-28T23:59:59Z, covers 31 Jan 23:59:59.024000: False
#> 2026: 2026-01-01T00:00:00Z/2026-12-31T23:59:59Z, covers 31 Jan 23:59:59.024000: True
#> 2026-01-31/2026-02-01: 2026-01-31T00:00:00Z/2026-02-01T23:59:59Z, covers 31 Jan 23:59:59.024000: True
set -euo pipefail
if [ -z "${BOUNDED:-}" ]; then BOUNDED=1 exec timeout 300 bash "$0"; fi
command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pystac-client==0.9.1 pystac==1.15.2
cat >"$work/finding.py" <<'EOF'
from datetime import datetime

from pystac_client import ItemSearch

taken = datetime.fromisoformat("2026-01-31T23:59:59.024+00:00")
for asked in ("2026-01-31", "2026-02-01", "2026-01", "2026-02", "2026", "2026-01-31/2026-02-01"):
    # No request is sent: this is what a search would ask for.
    sent = ItemSearch("http://127.0.0.1/search", datetime=asked).get_parameters()["datetime"]
    start, end = (datetime.fromisoformat(t) for t in sent.split("/"))
    print(f"{asked}: {sent}, covers {taken:%d %b %H:%M:%S.%f}: {start <= taken <= end}")
EOF
"$work/venv/bin/python" "$work/finding.py" >"$work/seen"

cat "$work/seen"
if ! diff <(sed -n 's/^#> \{0,1\}//p' "$0") "$work/seen" >"$work/diff"; then
	echo "CHANGED: this is not the output that the head of the script states (<); see lines with >" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "as stated"
