#!/usr/bin/env bash
# Runs a command with TEST_REDIS_URL set to a Redis that lives no longer than the command, and TEST_REDIS_SERVER to the path of the
# server's program, for tests that start and stop one of their own:
#
#     scripts/with-test-redis.sh cargo nextest run -p adapters-limits
#
# A TEST_REDIS_URL that is set already is used as it is. Otherwise a server is started on a free port of the loopback, with nothing on
# disk, and stopped at the end, however the end comes. The exit status is the command's. It cannot read the terminal.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$#" -gt 0 ] || fail 'usage: scripts/with-test-redis.sh COMMAND [ARGUMENT...]'

if [ -z "${TEST_REDIS_SERVER:-}" ]; then
    if ! have redis-server; then
        echo 'installing Redis for the tests' >&2
        apt_install redis-server || fail "Redis is missing: $(apt_hint redis-server), or set TEST_REDIS_SERVER to its program"
    fi
    TEST_REDIS_SERVER=$(command -v redis-server) || fail 'Redis was installed, but its redis-server is not in the PATH'
fi
export TEST_REDIS_SERVER
[ -z "${TEST_REDIS_URL:-}" ] || exec "$@"

folder=$(mktemp -d "${TMPDIR:-/tmp}/tertulia-redis.XXXXXX")
server_pid=
# shellcheck disable=SC2329  # The traps call it.
clean_up() {
    trap '' INT TERM
    end_command
    if [ -n "$server_pid" ]; then
        # Who was told to end ends with a status of its own, which is no failure here.
        kill -TERM "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Whether the server, which may still be starting, has come so far as to answer.
answers() {
    local _
    for _ in $(seq 100); do
        grep -q 'Ready to accept connections' "$folder/server.log" 2>/dev/null && return 0
        kill -0 "$server_pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

started=
for _ in 1 2 3 4 5 6 7 8; do
    # Any free port; should another program have it, another one is tried. 32768 and up belong to outgoing connections.
    port=$((RANDOM % 12000 + 20000))
    "$TEST_REDIS_SERVER" --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" >"$folder/server.log" 2>&1 </dev/null &
    server_pid=$!
    if answers; then
        started=yes
        break
    fi
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
    grep -q 'Address already in use' "$folder/server.log" || break
done
[ -n "$started" ] || fail "Redis did not start: $(tail -n 1 "$folder/server.log" 2>/dev/null || echo 'it left no log')"

export TEST_REDIS_URL="redis://127.0.0.1:$port/"

start_command "$@"
wait_for_command
