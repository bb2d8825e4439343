#!/bin/sh
# Runs every test. A machine without a Vulkan, Metal or DX12 adapter first gets the software rasterizer lavapipe
# (Debian and Ubuntu, as root or through sudo); elsewhere this says what to install.
set -eu
cd "$(dirname "$0")/.."

# Mesa complains on every instance without it.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
# On a software rasterizer, kernels of the tests are compiled for far longer than they run: half of that is Mesa's optimizer.
export GALLIVM_PERF="${GALLIVM_PERF-nopt}"

# The tests' own build of the program: `cargo run` would compile wgpu once more, with fewer features.
# With the example crate in one build, so that the library is compiled once.
cargo test --workspace --no-run
status=0
complaint=$("${CARGO_TARGET_DIR:-target}/debug/foveate" check --device gpu --op reshape 2>&1 >/dev/null) || status=$?
# 2 is a machine without an adapter. Any other failure is for the tests to report.
if [ "$status" -eq 2 ]; then
    if ! command -v apt-get >/dev/null; then
        printf '%s\n' "$complaint" >&2
        echo "This machine has no adapter to test on: install a driver as the line above says, then run this again." >&2
        exit 1
    fi
    sudo=
    if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
    echo "No Vulkan adapter: installing the software rasterizer (mesa-vulkan-drivers, libvulkan1)"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1
fi

cargo test --workspace
