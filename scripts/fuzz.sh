#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (20): the parsers of what strangers send. `make fuzz` calls it.
#
#     scripts/fuzz.sh [TARGET...]
#
# The first run compiles cargo-fuzz (a minute or two) and the targets with coverage counters (some minutes). What a run finds is kept
# in fuzz/corpus, an input that fails in fuzz/artifacts; run one alone with `scripts/fuzz.sh TARGET` after putting it into the corpus.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
cd "$root"

cargo_fuzz_version=0.13.2
tools=$root/.cache/tools
seconds=${FUZZ_SECONDS:-20}
[[ $seconds =~ ^[0-9]{1,6}$ ]] && [ "$seconds" -gt 0 ] || fail "FUZZ_SECONDS must be a whole number of seconds, got '$seconds'"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(safetensors model_config tokenizer access_token api_key cursor headers)
for target in "${targets[@]}"; do
    [ -f "fuzz/fuzz_targets/$target.rs" ] || fail "'$target' is no target: see fuzz/fuzz_targets"
done

need_rust
have c++ || have g++ || apt_install g++ || fail "a C++ compiler is missing, which libFuzzer needs: $(apt_hint g++)"
if ! "$tools/bin/cargo-fuzz" --version 2>/dev/null | grep -qF " $cargo_fuzz_version"; then
    echo "Compiling cargo-fuzz $cargo_fuzz_version, once..." >&2
    cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "cargo-fuzz@$cargo_fuzz_version" >&2
    rm -rf "$tools/build"
fi
export PATH=$tools/bin:$PATH

scripts/setup.sh
ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$(fetched_onnxruntime)}
export ORT_DYLIB_PATH

# The seeds: whole files of the test fixtures behind the byte by which each target tells its kinds of input apart.
fixtures=crates/adapters-ml/tests/fixtures
mkdir -p fuzz/corpus/{safetensors,model_config,tokenizer,access_token,api_key,cursor,headers}
for model in gpt2-distilled gpt2-odd-b llama-tiny; do
    weights=$fixtures/$model/model.safetensors
    header_bytes=$(od -An -t u8 -N 8 "$weights" | tr -d ' ')
    { printf '\001'; head -c "$((8 + header_bytes))" "$weights" | tail -c "$header_bytes"; } >"fuzz/corpus/safetensors/$model.header"
done
{ printf '\000'; head -c 4096 "$fixtures/gpt2-distilled/model.safetensors"; } >fuzz/corpus/safetensors/truncated
# A header of 2^63 bytes.
printf '\000\000\000\000\000\000\000\000\200{}' >fuzz/corpus/safetensors/huge-header
number=0
for model in gpt2-distilled llama-tiny qwen2-tiny mistral-tiny; do
    { printf '%b' "\\00$number"; cat "$fixtures/$model/config.json"; } >"fuzz/corpus/model_config/$model"
    number=$(((number + 1) % 4))
done
cp fuzz/seeds/tokenizer/*.json fuzz/corpus/tokenizer/
printf 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4In0.AAAA' >fuzz/corpus/access_token/hs256
printf 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.' >fuzz/corpus/access_token/none
printf 'tertulia_0123abcd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' >fuzz/corpus/api_key/well-formed
printf 'AAY_Hk5hbAABlwobLgAAcAAAAAAAAAAA' >fuzz/corpus/cursor/well-formed
printf 'Bearer a.b.c\n192.0.2.66, [2001:db8::1]:443\ntrace-1\nbearer d\n198.51.100.1, 10.0.0.2' >fuzz/corpus/headers/three-kinds

# cargo-fuzz asks for flags of the nightly compiler; this lets the stable one take them. Without a sanitizer: what is fuzzed is safe Rust.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    cargo fuzz run --sanitizer none --target-dir "$root/target/fuzz" "$target" -- \
        "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=65536 -print_final_stats=1 -verbosity=0
done
