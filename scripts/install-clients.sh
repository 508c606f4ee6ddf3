#!/usr/bin/env bash
# Puts the official clients that the end-to-end tests call the server by into .cache/clients. Run again, it compares and does nothing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

sources=$root/tests/end_to_end/clients
target=$root/.cache/clients
mkdir -p "$target"

# is_current NAME FILE: whether what was installed last came from this very list.
is_current() {
    [ -f "$target/$1.installed" ] && cmp -s "$2" "$target/$1.installed"
}

requirements=$sources/python/requirements.txt
if ! is_current python "$requirements"; then
    have python3 || apt_install python3 || fail "python3 is missing: $(apt_hint python3 python3-venv)"
    rm -rf "$target/python"
    make_environment "$target/python"
    "$target/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$requirements"
    cp "$requirements" "$target/python.installed"
fi

lockfile=$sources/javascript/package-lock.json
if ! is_current javascript "$lockfile"; then
    { have node && have npm; } || apt_install nodejs npm || fail "node is missing: $(apt_hint nodejs npm)"
    mkdir -p "$target/javascript"
    cp "$sources/javascript/package.json" "$lockfile" "$target/javascript/"
    npm ci --prefix "$target/javascript" --silent --no-audit --no-fund --ignore-scripts
    cp "$lockfile" "$target/javascript.installed"
fi
