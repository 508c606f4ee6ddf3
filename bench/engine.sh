#!/usr/bin/env bash
# Installs the engine's peers, makes the model, measures, and writes docs/PERFORMANCE.md. Arguments go to bench/engine/run.py.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=.cache/venv-bench
models=.cache/bench-models
python=$environment/bin/python

if ! command -v python3 >/dev/null; then
    echo "bench-engine needs python3 with venv: apt-get install python3-venv" >&2
    exit 1
fi
if [ ! -x target/release/tertulia ]; then
    echo "bench-engine measures target/release/tertulia: run \`make release\` first" >&2
    exit 1
fi

installed=$environment/installed
if ! cmp --silent bench/requirements.txt "$installed"; then
    [ -x "$python" ] || python3 -m venv "$environment"
    # llama.cpp is compiled for this machine's instructions, with clang where there is one. Built by gcc 12 its AMX code
    # crashes at Q8_0 and Q4_0, so AMX is left out whatever the compiler; the other vector instructions are used.
    if command -v clang >/dev/null && command -v clang++ >/dev/null; then
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
