#!/usr/bin/env bash
# Installs the engine's peers, makes the model, measures, and writes docs/PERFORMANCE.md. Arguments go to bench/engine/run.py.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
cd "$root"

environment=.cache/venv-bench
models=.cache/bench-models
python=$environment/bin/python

have python3 || apt_install python3 || fail "python3 is missing: $(apt_hint python3 python3-venv)"
have c++ || have g++ || apt_install g++ || fail "a C++ compiler is missing, which builds llama.cpp: $(apt_hint g++)"
[ -x target/release/tertulia ] || fail "target/release/tertulia is not there: run \`make release\` first"

installed=$environment/installed
if ! cmp --silent bench/requirements.txt "$installed"; then
    [ -x "$python" ] || make_environment "$environment"
    # llama.cpp is compiled for this machine's instructions, with clang where there is one. Built by gcc 12 its AMX code
    # crashes at Q8_0 and Q4_0, so AMX is left out whatever the compiler; the other vector instructions are used.
    if have clang && have clang++; then
        export CC=clang CXX=clang++
    fi
    export CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement bench/requirements.txt
    cp bench/requirements.txt "$installed"
fi

"$python" bench/engine/make_models.py "$models"
cargo build --quiet --release --package adapters-ml --example engine_alone --example perplexity
# An option that is given again below wins.
exec "$python" bench/engine/run.py --models "$models" --engine-alone "target/release/examples/engine_alone $models/hf int8" "$@"
