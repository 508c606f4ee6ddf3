#!/usr/bin/env bash
# Everything that a machine can say about the code without running it, and the architecture test.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.cache/tools/bin

step() {
    printf '== %s\n' "$1"
}

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
step "dependencies (licences, bans, sources; the advisories need the internet: cargo deny check advisories)"
"$tools/cargo-deny" check bans licenses sources
step "architecture"
cargo test --quiet -p tertulia --test architecture
if [ -x "$tools/shellcheck" ]; then
    step "shell scripts"
    "$tools/shellcheck" -x scripts/*.sh .ci/run
fi
if [ -x "$tools/hadolint" ]; then
    step "Dockerfile"
    "$tools/hadolint" Dockerfile
fi
