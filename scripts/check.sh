#!/usr/bin/env bash
# Everything that a machine can say about the code without running it, and the architecture test. Every check runs, also after
# one has failed; what failed is named at the end.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
tools=$root/.cache/tools/bin
failed=()

# check NAME COMMAND...
check() {
    printf '== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

check "format" cargo fmt --all --check
check "lints" cargo clippy --quiet --workspace --all-targets -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --workspace --no-deps --document-private-items
# The advisories need a database from the internet: cargo deny check advisories, where there is one.
check "dependencies: bans, licences, sources" "$tools/cargo-deny" --log-level error check bans licenses sources
check "architecture" cargo test --quiet -p tertulia --test architecture
[ -x "$tools/shellcheck" ] && check "shell scripts" "$tools/shellcheck" -x scripts/*.sh bench/*.sh .ci/run
[ -x "$tools/hadolint" ] && check "Dockerfile" "$tools/hadolint" Dockerfile

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "all checks passed"
