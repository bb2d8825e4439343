#!/bin/sh
# Everything that can be tested on this machine, in hours on a software rasterizer: every conformance case on every choice of kernels, once
# on the machine's own driver and once on a newer Mesa, which multiplies cooperative matrices; the oracles through the optimizer that
# tests/run.sh leaves out. `.ci/run` takes a sample of it, which changes from day to day.
set -eu
cd "$(dirname "$0")/.."
export FOVEATE_SAMPLE=all XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"

sh tests/run.sh
if rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown; then
    cargo check --target wasm32-unknown-unknown --no-default-features --features webgpu --lib
fi
GALLIVM_PERF= cargo test --test oracles attention/
if sh tests/with-new-mesa.sh; then
    GALLIVM_PERF=nopt sh tests/with-new-mesa.sh cargo test
else
    echo "tests/full.sh: no newer Mesa: cooperative matrices are left out" >&2
    exit 3
fi
