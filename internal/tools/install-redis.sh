#!/bin/sh
# Makes sure that a Redis server is on the PATH, because the tests run against a real one.
set -eu

server() {
	command -v redis-server || command -v valkey-server
}

fail() {
	echo "install-redis: $1" >&2
	echo "install-redis: install Redis 7.0.5 or later, or Valkey 7.2 or later, so that redis-server or valkey-server is on the PATH" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		fail "not root, and there is no sudo"
	fi
}

install() {
	if have apt-get; then
		# RUNLEVEL=1 keeps the package from starting a server of its own on the default port.
		as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
		as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends redis-server
	elif have dnf; then
		as_root dnf install -q -y valkey || as_root dnf install -q -y redis
	elif have apk; then
		as_root apk add --quiet redis
	elif have brew; then
		brew install --quiet redis
	else
		fail "none of apt-get, dnf, apk and brew is here"
	fi
}

if path="$(server)"; then
	echo "install-redis: using $path"
	exit 0
fi
echo "install-redis: no redis-server or valkey-server on the PATH, installing one"
install || fail "the package manager could not install it"
path="$(server)" || fail "the package was installed, but its server is not on the PATH"
echo "install-redis: installed $path"
