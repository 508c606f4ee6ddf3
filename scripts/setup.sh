#!/usr/bin/env bash
# Every step between a fresh clone and a build. Run again, it checks and does nothing.
#
# Where it is root on Debian or Ubuntu it installs what is missing; elsewhere it stops with one line that says how to get it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

need_rust

# ensure PACKAGES HINT CHECK...: runs the check; if it fails, installs the packages and checks again.
ensure() {
    local packages=$1 hint=$2
    shift 2
    "$@" >/dev/null 2>&1 && return 0
    # The list of packages is split into words on purpose.
    # shellcheck disable=SC2086
    apt_install $packages && "$@" >/dev/null 2>&1 && return 0
    # shellcheck disable=SC2086
    fail "$hint is missing: $(apt_hint $packages)"
}

# libpq is built from source and speaks TLS through OpenSSL, whose headers must be there.
openssl_headers() {
    [ -n "${OPENSSL_DIR:-}" ] || pkg-config --exists openssl || [ -d /opt/homebrew/opt/openssl@3 ]
}

ensure "build-essential" "a C compiler (cc)" have cc
ensure "libssl-dev pkg-config" "OpenSSL's development package (for PostgreSQL's client library)" openssl_headers

# Speech is made by a program of its own. The server works without it; its tests do not.
have espeak-ng || apt_install espeak-ng ||
    echo "$(basename "$0"): espeak-ng is missing, and with it speech: $(apt_hint espeak-ng)" >&2
# The tests hear Opus by the decoder of those who wrote it.
have opusdec || apt_install opus-tools ||
    echo "$(basename "$0"): opusdec is missing, which the tests of speech need: $(apt_hint opus-tools)" >&2

"$root/scripts/fetch-onnxruntime.sh"
