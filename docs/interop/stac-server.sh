#!/usr/bin/env bash
# A real STAC API for tests: stac-fastapi-pgstac on a private PostgreSQL
# cluster, both bound to loopback.
#
#   stac-server.sh install   install what is missing (packages, Python venv)
#   stac-server.sh start     install, start both, wait until ready, print the URL
#   stac-server.sh stop      stop both (the data stays)
#   stac-server.sh status    print the URL, exit 0 when it answers, 3 when not
#
# Environment:
#   STAC_PORT    port of the API                    (default 8082)
#   STAC_CACHE   where the venv lives               (default <repo>/.cache)
#   STAC_STATE   data, logs and pids of one server  (default $STAC_CACHE/stac-server)
#   STAC_WAIT    seconds to wait for readiness      (default 90)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${STAC_CACHE:-$root/.cache}
state=${STAC_STATE:-$cache/stac-server}
port=${STAC_PORT:-8082}
wait_s=${STAC_WAIT:-90}
venv=$cache/stac-venv
url=http://127.0.0.1:$port

say() { printf 'stac-server: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# PostgreSQL refuses to run as root, so root hands over to its package's user.
as_pg() {
	if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# The newest PostgreSQL that has PostGIS: prints its bin directory.
pg_bin() {
	local dir version
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
		version=$(basename "$(dirname "$dir")")
		if [ -x "$dir/initdb" ] && [ -e "/usr/share/postgresql/$version/extension/postgis.control" ]; then
			printf '%s\n' "$dir"
			return 0
		fi
	done
	return 1
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() { # the API answers, and so does the database behind it
	curl -sf -m 5 -o /dev/null "$url/_mgmt/ping" && curl -sf -m 5 -o /dev/null "$url/search?limit=1"
}

api_pid() { # prints the pid of our API process, fails when it is not running
	local pid
	pid=$(cat "$state/api.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
	# A reused pid is not our server.
	tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'stac_fastapi.pgstac' || return 1
	printf '%s\n' "$pid"
}

pg_running() {
	local data
	data=$(pg_data) && [ -n "$data" ] && as_pg "$(pg_bin)/pg_ctl" -D "$data" status >/dev/null 2>&1
}

pg_data() { cat "$state/pg.data" 2>/dev/null || true; }

install() {
	if ! pg_bin >/dev/null; then
		command -v apt-get >/dev/null || die "PostgreSQL with PostGIS not found, and no apt-get to install it with"
		say "installing PostgreSQL and PostGIS"
		as_root apt-get update -qq
		local version
		version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
		[ -n "$version" ] || die "apt knows no postgresql package"
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			postgresql "postgresql-$version-postgis-3" >&2
		pg_bin >/dev/null || die "PostGIS is still missing after the installation"
	fi
	command -v curl >/dev/null || as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq curl >&2
	if ! cmp -s "$here/requirements.txt" "$venv/.requirements"; then
		say "installing the Python packages"
		mkdir -p "$cache"
		rm -rf "$venv"
		python3 -m venv "$venv" || die "python3 -m venv failed (Debian: apt-get install python3-venv)"
		"$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2
		cp "$here/requirements.txt" "$venv/.requirements"
	fi
}

start_pg() {
	local bin data
	bin=$(pg_bin)
	pg_running && return 0
	if [ ! -s "$state/pg.data" ]; then
		# The database user must be able to reach the data directory; a
		# checkout under a closed home directory is not, a temporary one is.
		data=$state/pg
		rm -rf "$data" # of an initdb that was interrupted
		mkdir -p "$data"
		if [ "$(id -u)" = 0 ]; then chown postgres "$data"; fi
		if ! as_pg test -w "$data"; then
			rmdir "$data"
			data=$(mktemp -d "${TMPDIR:-/tmp}/stac-pg.XXXXXX")
			if [ "$(id -u)" = 0 ]; then chown postgres "$data"; fi
		fi
		(umask 077 && python3 -c 'import secrets; print(secrets.token_hex(16))' >"$state/pg.password")
		local pwfile=$data.pw
		(umask 077 && cp "$state/pg.password" "$pwfile")
		if [ "$(id -u)" = 0 ]; then chown postgres "$pwfile"; fi
		as_pg "$bin/initdb" -D "$data" -U stac -E UTF8 --locale=C.UTF-8 \
			--auth=scram-sha-256 --pwfile="$pwfile" >"$state/initdb.log" 2>&1 ||
			{ rm -f "$pwfile"; cat "$state/initdb.log" >&2; die "initdb failed"; }
		rm -f "$pwfile"
		printf '%s\n' "$data" >"$state/pg.data"
	fi
	data=$(pg_data)
	free_port >"$state/pg.port"
	as_pg "$bin/pg_ctl" -D "$data" -w -t 60 -l "$data/server.log" -o \
		"-c listen_addresses=127.0.0.1 -c port=$(cat "$state/pg.port") -c unix_socket_directories= -c fsync=off" \
		start >/dev/null || { as_pg tail -n 20 "$data/server.log" >&2; die "PostgreSQL did not start"; }
}

pg_env() {
	export PGHOST=127.0.0.1 PGPORT PGUSER=stac PGPASSWORD PGDATABASE=stac
	PGPORT=$(cat "$state/pg.port")
	PGPASSWORD=$(cat "$state/pg.password")
}

has_database() { # an interrupted start may have left it, with or without tables
	[ "$("$(pg_bin)/psql" -XAtq -d postgres -c "select 1 from pg_database where datname = 'stac'")" = 1 ]
}

start() {
	if api_pid >/dev/null && pg_running && answers; then
		say "already running"
		printf '%s\n' "$url"
		return 0
	fi
	stop
	install
	mkdir -p "$state"
	if curl -s -m 2 -o /dev/null "$url/"; then
		die "something else answers at $url (choose another STAC_PORT)"
	fi
	start_pg
	pg_env
	if [ ! -e "$state/migrated" ]; then
		has_database || "$(pg_bin)/createdb" stac || { stop; die "createdb failed"; }
		"$venv/bin/pypgstac" migrate >"$state/migrate.log" 2>&1 ||
			{ cat "$state/migrate.log" >&2; stop; die "pypgstac migrate failed"; }
		touch "$state/migrated"
	fi
	ENABLE_TRANSACTIONS_EXTENSIONS=TRUE DB_MIN_CONN_SIZE=1 DB_MAX_CONN_SIZE=4 \
		setsid nohup "$venv/bin/python" -m uvicorn stac_fastapi.pgstac.app:app \
		--host 127.0.0.1 --port "$port" --no-access-log >"$state/api.log" 2>&1 </dev/null &
	printf '%s\n' $! >"$state/api.pid"
	local deadline=$((SECONDS + wait_s))
	until answers; do
		kill -0 "$(cat "$state/api.pid")" 2>/dev/null || { tail -n 30 "$state/api.log" >&2; stop; die "the API ended"; }
		[ $SECONDS -lt $deadline ] || { tail -n 30 "$state/api.log" >&2; stop; die "not ready after $wait_s s"; }
		sleep 0.2
	done
	printf '%s\n' "$url"
}

stop() {
	local pid i
	if pid=$(api_pid); then
		kill "$pid" 2>/dev/null || true
		for i in $(seq 50); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
			if [ "$i" = 50 ]; then kill -9 "$pid" 2>/dev/null || true; fi
		done
	fi
	rm -f "$state/api.pid"
	if pg_running; then
		as_pg "$(pg_bin)/pg_ctl" -D "$(pg_data)" -m fast -w -t 30 stop >/dev/null
	fi
}

status() {
	if api_pid >/dev/null && answers; then
		printf '%s\n' "$url"
		return 0
	fi
	say "not running"
	return 3
}

case ${1:-} in
install | start | stop | status) "$1" ;;
*)
	sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac
