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

# apt_install PACKAGE...: installs Debian packages where this process may, and fails quietly where it may not. A server among them is
# installed but not started: /usr/sbin/policy-rc.d forbids it meanwhile (invoke-rc.d(8)), the machine's own or one that is removed again.
apt_install() (
    have apt-get && [ "$(id -u)" -eq 0 ] || exit 1
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && exit 0
    # A fresh machine has no package lists yet.
    apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

# The oldest Rust that builds the project, as Cargo.toml says.
oldest_rust() {
    sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml"
}

# Stops with one line unless a Rust is here that builds the project. Its parts have one version, so cargo's is enough.
need_rust() {
    local oldest found how
    oldest=$(oldest_rust)
    how="install Rust $oldest or later with rustup (see rustup.rs)"
    need cargo "$how"
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || found=
    [ -n "$found" ] || fail "cargo does not run here (cargo --version says why): $how"
    printf '%s\n%s\n' "$oldest" "$found" | sort -V -C || fail "Rust $found is too old: $how, or rustup update"
}

sha256_of() {
    if have sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    else
        shasum -a 256 "$1" | cut -d ' ' -f 1
    fi
}

# ONNX Runtime's library as the set-up fetched it, the newest where there are several.
fetched_onnxruntime() {
    find "$(dirname "${BASH_SOURCE[0]}")/../.cache/onnxruntime/lib" -name 'libonnxruntime*' | sort -V | tail -n 1
}

# Whether this Python can fetch packages.
have_pip() {
    have python3 && python3 -m pip --version >/dev/null 2>&1
}

# make_environment FOLDER: makes a virtual environment of Python, which Debian's python3 alone cannot.
make_environment() {
    python3 -m venv "$1" 2>/dev/null && return 0
    rm -rf "$1"
    apt_install python3-venv && python3 -m venv "$1" && return 0
    rm -rf "$1"
    fail "Python cannot make environments: $(apt_hint python3-venv)"
}

# start_command COMMAND [ARGUMENT...]: runs it in the background, so that a signal to the script is served at once and not when the
# command ends, and in a process group of its own, so that end_command reaches whatever it started. Its id is in command_pid.
command_pid=
start_command() {
    # Who reads the terminal from the background is stopped.
    if [ -t 0 ]; then
        exec </dev/null
    fi
    set -m
    "$@" <&0 &
    command_pid=$!
    set +m
}

# Ends the command, with all that it started, if it runs still.
end_command() {
    if [ -n "$command_pid" ]; then
        kill -TERM -- "-$command_pid" 2>/dev/null || true
        wait "$command_pid" 2>/dev/null || true
    fi
}

# Waits for the command's end, and answers its status.
wait_for_command() {
    local status=0
    wait "$command_pid" || status=$?
    command_pid=
    return "$status"
}
