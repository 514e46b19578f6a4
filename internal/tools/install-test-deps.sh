#!/bin/sh
# Ensures that the tests find on the PATH what they need: a Redis server, because they run against a real one; a C
# compiler, for the race detector; bash and curl, because they run the commands of the documentation.
set -eu

fail() {
	echo "install-test-deps: $1" >&2
	echo "install-test-deps: install manually what is missing:" \
		"Redis 7.0.5 or later (or Valkey 7.2 or later), a C compiler, bash, curl" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

missing() {
	have redis-server || have valkey-server || echo redis
	have "${CC:-gcc}" || have clang || have cc || echo compiler
	have bash || echo bash
	have curl || echo curl
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		fail "root or sudo is required"
	fi
}

# install installs one of the names that missing prints.
install() {
	if have apt-get; then
		case $1 in
		redis) packages=redis-server ;;
		compiler) packages="gcc libc6-dev" ;;
		*) packages=$1 ;;
		esac
		as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
		# RUNLEVEL=1 keeps the package from starting a server on the default port.
		# shellcheck disable=SC2086 # several packages
		as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends $packages
	elif have dnf; then
		case $1 in
		redis) as_root dnf install -q -y valkey || as_root dnf install -q -y redis ;;
		compiler) as_root dnf install -q -y gcc glibc-devel ;;
		*) as_root dnf install -q -y "$1" ;;
		esac
	elif have apk; then
		case $1 in
		compiler) as_root apk add --quiet gcc musl-dev ;;
		*) as_root apk add --quiet "$1" ;;
		esac
	elif have brew; then
		[ "$1" = compiler ] && fail "install the command line tools: xcode-select --install"
		brew install --quiet "$1"
	else
		fail "this system has none of apt-get, dnf, apk and brew"
	fi
}

for name in $(missing); do
	echo "install-test-deps: no $name on the PATH, installing it"
	install "$name" || fail "the package manager could not install $name"
done
left="$(missing)"
[ -z "$left" ] || fail "installed, but not on the PATH: $left"
echo "install-test-deps: using $(command -v redis-server || command -v valkey-server)"
