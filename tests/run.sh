#!/bin/sh
# Runs the tests: of those that are slow on a software rasterizer a sample, which changes from day to day. FOVEATE_SAMPLE=all takes every test, a number
# the sample of that day since 1970. A machine without a Vulkan, Metal or DX12 adapter first gets the software rasterizer lavapipe (Debian and Ubuntu,
# as root or through sudo); elsewhere this says what to install.
set -eu
cd "$(dirname "$0")/.."

# Mesa complains on every instance without it.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
# On a software rasterizer, kernels of the tests are compiled for far longer than they run: half of that is Mesa's optimizer.
export GALLIVM_PERF="${GALLIVM_PERF-nopt}"
# By it conformance, oracles, shaders and the table of writing commands choose theirs.
export FOVEATE_SAMPLE="${FOVEATE_SAMPLE:-$(($(date +%s) / 86400))}"
# Targets that know nothing of samples, and every how many of their tests a sample has one.
sampled="cli:3 models:2 ops:2 train:2"

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

if [ "$FOVEATE_SAMPLE" = all ]; then
    exec cargo test --workspace
fi
set --
for target in $sampled; do
    names=$(cargo test --quiet --workspace --test "${target%:*}" -- --list --format terse | sed -n 's/: test$//p')
    for name in $(printf '%s\n' "$names" | awk -v period="${target#*:}" -v sample="$FOVEATE_SAMPLE" 'NR % period != sample % period'); do
        set -- "$@" --skip "$name"
    done
done
echo "$(($# / 2)) tests are left out: FOVEATE_SAMPLE=$FOVEATE_SAMPLE takes the same sample, FOVEATE_SAMPLE=all every test"
cargo test --workspace -- --exact "$@"
