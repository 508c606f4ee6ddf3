#!/usr/bin/env bash
# Runs every test of the workspace, with a real PostgreSQL and a real Redis beside it. Words after the name go to the runner.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
cd "$root"

ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$(fetched_onnxruntime)}
export ORT_DYLIB_PATH

scripts/install-clients.sh

if cargo nextest --version >/dev/null 2>&1; then
    scripts/with-test-postgres.sh scripts/with-test-redis.sh cargo nextest run --workspace --no-fail-fast "$@"
    # nextest runs no examples out of the documentation.
    cargo test --quiet --workspace --doc
else
    echo "cargo-nextest is not here; cargo test does its work (cargo install --locked cargo-nextest)" >&2
    scripts/with-test-postgres.sh scripts/with-test-redis.sh cargo test --workspace --no-fail-fast "$@"
fi
