# Helpers shared by the scripts; sourced, never run.
# shellcheck shell=bash

# Says in one line what is wrong, and stops.
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# need TOOL HOW: stops with one line that names the tool and how to get it.
need() {
    have "$1" || fail "$1 is missing: $2"
}

# How to install Debian packages by hand, for messages.
apt_hint() {
    printf 'sudo apt-get install -y %s' "$*"
}

# apt_install PACKAGE...: installs Debian packages where this process may, and fails quietly where it may not.
apt_install() {
    have apt-get && [ "$(id -u)" -eq 0 ] || return 1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    # A fresh machine has no package lists yet.
    apt-get update -qq >/dev/null 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

sha256_of() {
    if have sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    else
        shasum -a 256 "$1" | cut -d ' ' -f 1
    fi
}

# Whether this Python can fetch packages.
have_pip() {
    have python3 && python3 -m pip --version >/dev/null 2>&1
}
