#!/usr/bin/env bash
# Runs a command with TEST_DATABASE_URL set to a PostgreSQL server that lives no longer than the command:
#
#     scripts/with-test-postgres.sh cargo nextest run --workspace
#
# A TEST_DATABASE_URL that is set already is used as it is. Otherwise a server is started on a free port of the loopback, with its
# files in a temporary folder, and stopped and removed at the end, however the end comes. The exit status is the command's. It cannot read the terminal.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$#" -gt 0 ] || fail 'usage: scripts/with-test-postgres.sh COMMAND [ARGUMENT...]'
[ -z "${TEST_DATABASE_URL:-}" ] || exec "$@"

# Debian keeps the server's programs out of the PATH; other systems do not.
find_server_programs() {
    local program
    if program=$(command -v initdb) && command -v postgres >/dev/null; then
        # Where PATH holds only a link, the other programs and the server's own files are where it leads.
        dirname "$(readlink -f "$program")"
        return
    fi
    for program in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb; do
        [ -x "$program" ] && dirname "$program" && return
    done
    return 1
}

if ! programs=$(find_server_programs); then
    echo 'installing PostgreSQL for the tests' >&2
    apt_install postgresql || fail "PostgreSQL is missing: $(apt_hint postgresql), or set TEST_DATABASE_URL to a server whose user may create databases"
    programs=$(find_server_programs) || fail 'PostgreSQL was installed, but its initdb is not where it should be'
fi

# PostgreSQL refuses to run as root.
if [ "$(id -u)" -eq 0 ]; then
    owner=postgres
    id "$owner" >/dev/null 2>&1 || owner=nobody
    if have runuser; then
        as_owner=(runuser -u "$owner" --)
    elif have setpriv; then
        as_owner=(setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups --)
    else
        fail 'PostgreSQL does not run as root, and neither runuser nor setpriv is here (util-linux)'
    fi
else
    owner=$(id -un)
    as_owner=()
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/tertulia-postgres.XXXXXX")
# shellcheck disable=SC2329  # The traps call it.
clean_up() {
    trap '' INT TERM
    # Whatever fails here, the rest is still to be done.
    set +e
    end_command
    if [ -f "$folder/data/postmaster.pid" ]; then
        "${as_owner[@]}" "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate --silent stop >/dev/null 2>&1
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chown "$owner" "$folder"
# A folder that the server's user cannot enter must not be the working one.
cd_owner() {
    (cd "$folder" && "${as_owner[@]}" "$@")
}

cd_owner "$programs/initdb" --pgdata="$folder/data" --username=test --auth=trust --encoding=UTF8 --no-locale --no-sync \
    >"$folder/initdb.log" 2>&1 || fail "initdb failed: $(tail -n 1 "$folder/initdb.log")"

# Nothing here outlives the tests, so nothing is made safe against a power cut.
settings='-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB'
started=
for _ in 1 2 3 4 5 6 7 8; do
    # Any free port; should another program take it in between, another one is tried. 32768 and up belong to outgoing connections.
    port=$((RANDOM % 12000 + 20000))
    if cd_owner "$programs/pg_ctl" --pgdata="$folder/data" --log="$folder/server.log" --wait --timeout=30 --silent \
        --options="$settings -p $port" start >/dev/null 2>&1; then
        started=yes
        break
    fi
    grep -q 'Address already in use\|could not create any TCP/IP sockets' "$folder/server.log" || break
done
[ -n "$started" ] || fail "PostgreSQL did not start: $(tail -n 1 "$folder/server.log" 2>/dev/null || echo 'it left no log')"

export TEST_DATABASE_URL="postgres://test@127.0.0.1:$port/postgres"

start_command "$@"
wait_for_command
