#!/bin/sh
# Puts a current Redis and a current Valkey into bin/servers, so that the tests run against them and the server of the
# system (redistest.Flavors). The system is not changed: packages of Debian's newer suites are unpacked there together
# with their libraries, and a wrapper starts each server with the dynamic loader of these libraries. Nothing is
# installed, root is not needed, and `rm -r bin/servers` undoes it.
#
# It does nothing if both are there and run. To get newer ones, remove bin/servers.
set -eu
cd "$(dirname "$0")/../.."

servers=bin/servers
fresh=$servers.new.$$
default_mirror=http://deb.debian.org/debian
suites="sid experimental bookworm-backports"

say() {
	echo "install-redis-versions: $1"
}

# give_up ends the script. A build that requires all servers must fail; a developer can continue without them.
give_up() {
	say "$1" >&2
	say "remedy: make 'apt-get update' work for $mirror, then run 'make test-deps' again" >&2
	if [ "${CI:-}" = true ] || [ "${STREAMGATE_REQUIRE_SERVERS:-}" = 1 ]; then
		exit 1
	fi
	say "continuing without them: the tests with several server versions will be skipped" >&2
	exit 0
}

# report prints the versions in directory $1, and fails if one of them does not run.
report() {
	redis="$("$1/redis-8" --version 2>/dev/null)" && valkey="$("$1/valkey" --version 2>/dev/null)" || return 1
	say "bin/servers has $(short "$redis") and $(short "$valkey")"
}

# short turns "Redis server v=8.6.3 sha=..." into "Redis 8.6.3". Early versions of Valkey print only "Server v=...".
short() {
	echo "$1" | sed -E 's/^([A-Za-z]*) *[Ss]erver v=([^ ]*).*/\1 \2/; s/^ *([0-9])/Valkey \1/'
}

# system_mirror prints the Debian mirror of this machine, for any format of its apt sources. The paths of the security
# archive and of other repositories do not match.
system_mirror() {
	apt-get update --print-uris 2>/dev/null |
		sed -nE "s#^'([^']*/debian)/+dists/[^/]*/InRelease'.*#\1#p" | head -n 1
}

# keyring prints the path of Debian's keys, which another distribution may have to fetch from its own archive.
keyring() {
	file=/usr/share/keyrings/debian-archive-keyring.gpg
	if [ ! -r "$file" ]; then
		(cd "$work" && apt-get download -qq debian-archive-keyring &&
			dpkg -x debian-archive-keyring_*.deb keys) >>"$log" 2>&1 || return 1
		file=$work/keys$file
		[ -r "$file" ] || file=${file%.gpg}.pgp
	fi
	[ -r "$file" ] && echo "$file"
}

# write_apt_config makes apt work in directory $work only. The configuration of the system is read first, so its
# network settings (proxies, certificates, passwords) stay; hooks of other packages are cleared.
write_apt_config() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/none"
	: >"$work/status"
	for suite in $suites; do
		echo "deb [signed-by=$1] $mirror $suite main"
	done >"$work/sources.list"
	cat >"$work/apt.conf" <<-END
		#clear APT::Update;
		#clear APT::Architectures;
		#clear DPkg::Post-Invoke;
		#clear Acquire::IndexTargets::deb::DEP-11;
		#clear Acquire::IndexTargets::deb::CNF;
		APT::Architecture "$(dpkg --print-architecture)";
		APT::Default-Release "";
		APT::Install-Recommends "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dir::State "$work";
		Dir::State::lists "$work/lists";
		Dir::State::status "$work/status";
		Dir::Cache "$work/cache";
		Dir::Etc::sourcelist "$work/sources.list";
		Dir::Etc::sourceparts "$work/none";
		Dir::Etc::preferences "$work/none/preferences";
		Dir::Etc::preferencesparts "$work/none";
	END
}

# candidates prints the versions of package $1 from 8 on, the newest first.
candidates() {
	apt-cache -c "$work/apt.conf" madison "$1" | awk '{ print $3 }' | sort -u | while read -r version; do
		dpkg --compare-versions "${version#*:}" ge 8 && echo "$version"
	done | sort -rV
}

# unpack unpacks package $1 in version $2 and its libraries below directory $3. Its other dependencies are needed only
# for an installation.
unpack() {
	packages="$(apt-get -c "$work/apt.conf" -s install "$1=$2" |
		awk -v p="$1" '$1 == "Inst" && ($2 == p || $2 ~ /^lib/) { print $2 "=" substr($3, 2) }')" || return 1
	[ -n "$packages" ] || return 1
	rm -rf "$work/debs"
	mkdir -p "$work/debs" "$3" || return 1
	chmod 777 "$work/debs" # started by root, apt downloads as another user
	# shellcheck disable=SC2086 # several packages
	(cd "$work/debs" && apt-get -c "$work/apt.conf" download -qq $packages) || return 1
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$3" || return 1
	done
	rm -rf "${3:?}/usr/share" "${3:?}/etc" "${3:?}/var"
}

# wrap writes the wrapper $2 in directory $fresh, which starts server $3 of the tree $1 beside it. It uses exec,
# because the tests compare the process that they started with the one that answers. One binary serves as the server
# and as the checker of RDB files, by the name of its link.
wrap() {
	tree=$fresh/$1
	loader="$(find "$tree" -type f \( -name 'ld-linux*.so.*' -o -name 'ld64.so.*' -o -name 'ld-2*.so' \) | head -n 1)"
	binary="$(find "$tree/usr/bin" -type f -name '*-check-rdb' | head -n 1)"
	[ -n "$loader" ] && [ -n "$binary" ] || return 1
	ln -sf "${binary##*/}" "$tree/usr/bin/$3" || return 1
	libraries=
	for dir in $(cd "$tree" && find . -name '*.so.*' -exec dirname {} \; | sed 's#^\./##' | sort -u); do
		libraries="$libraries\${0%/*}/$1/$dir:"
	done
	cat >"$fresh/$2" <<-END
		#!/bin/sh
		exec "\${0%/*}/$1/${loader#"$tree"/}" --library-path "${libraries%:}" "\${0%/*}/$1/usr/bin/$3" "\$@"
	END
	chmod +x "$fresh/$2" && "$fresh/$2" --version
}

# provide creates the wrapper $1 for server $2 from the newest version of package $3 that runs here: the newest one
# may need libraries that no suite has. The variable missing collects the packages for which it fails.
provide() {
	for version in $(candidates "$3" 2>>"$log"); do
		echo "trying $3 $version" >>"$log"
		tree=${version#*:}
		tree=$2-${tree%%[-+]*}
		if { unpack "$3" "$version" "$fresh/$tree" && wrap "$tree" "$1" "$2"; } >>"$log" 2>&1; then
			return 0
		fi
		rm -rf "${fresh:?}/$tree" "${fresh:?}/$1"
	done
	missing="$missing $3"
}

if report "$servers"; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
	say "this system has no apt-get: the tests run with the installed server only"
	exit 0
fi

work="$(mktemp -d)"
trap 'rm -rf "$work" "$fresh"' EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$work" # readable for the user of apt
log=$work/log
: >"$log"
mirror="$(system_mirror)"
mirror="${mirror:-$default_mirror}"
keys="$(keyring)" || give_up "Debian's keys (package debian-archive-keyring) are not installed and could not be fetched"
write_apt_config "$keys"

say "fetching a current Redis and Valkey from $suites into $servers"
# A mirror may lack some of the suites; the others are enough.
apt-get -c "$work/apt.conf" update -q >>"$log" 2>&1 || true
rm -rf "$fresh"
mkdir -p "$fresh"
missing=
provide redis-8 redis-server redis-tools
provide valkey valkey-server valkey-tools
rm -rf "$servers"
mv "$fresh" "$servers"
if [ -n "$missing" ]; then
	tail -n 20 "$log" >&2
	give_up "no version >= 8 of$missing in the suites $suites of $mirror could be fetched and started"
fi
report "$servers" || give_up "the servers in $servers do not start"
