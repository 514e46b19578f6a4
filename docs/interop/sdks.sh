#!/usr/bin/env bash
# Shows that the official CloudEvents SDKs for Python, JavaScript and Java understand the gateway, and it them: the events of
# sdks/vectors.json go from each SDK to the gateway and from the gateway to each SDK over HTTP, in every content mode that the
# SDK knows, and are compared. Everything runs on loopback; the SDKs come from their registries on the first run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'interop: %s\n' "$*"; }

for tool in python3 node npm java javac mvn; do
	if ! command -v "$tool" >/dev/null; then
		say "$tool is missing: install Python 3.11, Node.js 20, a JDK 17 and Maven, or newer ones" >&2
		exit 1
	fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' PYTHONDONTWRITEBYTECODE=1

sdk=.cache/sdks
mkdir -p "$sdk/js"
if ! cmp -s docs/interop/sdks/requirements.txt "$sdk/python/installed.txt"; then
	say "installing the SDK for Python"
	rm -rf "$sdk/python"
	python3 -m venv "$sdk/python"
	"$sdk/python/bin/pip" install --quiet --disable-pip-version-check -r docs/interop/sdks/requirements.txt
	cp docs/interop/sdks/requirements.txt "$sdk/python/installed.txt"
fi
if ! cmp -s docs/interop/sdks/package.json "$sdk/js/package.json"; then
	say "installing the SDK for JavaScript"
	cp docs/interop/sdks/package.json "$sdk/js/installing.json"
	(cd "$sdk/js" && mv installing.json package.json && npm install --silent --no-audit --no-fund --ignore-scripts) || { rm -f "$sdk/js/package.json"; exit 1; }
fi
if ! cmp -s docs/interop/sdks/pom.xml "$sdk/java/installed.xml"; then
	say "installing the SDK for Java"
	rm -rf "$sdk/java"
	mvn -q -f docs/interop/sdks/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/$sdk/java"
	cp docs/interop/sdks/pom.xml "$sdk/java/installed.xml"
fi
internal/tools/install-test-deps.sh
go build -o "$work/streamgate" ./cmd/streamgate
javac -cp "$sdk/java/*" -d "$work" docs/interop/sdks/Peer.java
"$sdk/python/bin/python" docs/interop/sdks/sdks.py "$work" "$work/streamgate" "$sdk"
