#!/bin/sh
# Times matmul and exact attention of foveate, burn and onnxruntime-webgpu in turn, and prints the median of each in GFLOP/s:
#
#     sh benches/peers/in_turn.sh [rounds]
#
# $WITH runs programs on another driver (WITH="sh tests/with-new-mesa.sh"). onnxruntime is left out where Python has none, or finds no adapter.
set -eu
cd "$(dirname "$0")/../.."
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
rounds=${1:-5}
with=${WITH:-}
python=$(python3 -c 'import sys; print(sys.executable)')
own=$(cargo bench --no-run --bench ops --message-format json | sed -n 's/.*"executable":"\([^"]*\/ops-[^"]*\)".*/\1/p')
if [ -z "$own" ]; then
    echo "benches/peers/in_turn.sh: the benchmarks were not built" >&2
    exit 1
fi
# The kernels are compiled by the driver: how the host is compiled makes no difference to calls of milliseconds.
for features in "" autotune; do
    cargo build --quiet --manifest-path benches/peers/burn/Cargo.toml --features "$features"
    cp benches/peers/burn/target/debug/time-burn "benches/peers/burn/target/time-burn-$features"
done

# What criterion measured last: the median, as of the peers. Flops of 1024^3, and of 4 heads of 64 and 1024 tokens.
median() {
    python3 - "$1" <<'END'
import json, sys
*op, row = sys.argv[1].split("/")
folder = "target/criterion/" + "_".join(op) + "/" + row + "/new"
nanoseconds = json.load(open(folder + "/estimates.json"))["median"]["point_estimate"]
flops = 2 * 1024**3 if op == ["matmul"] else 4 * 4 * 64 * 1024**2
print(f"foveate, {sys.argv[1]}: {flops / nanoseconds:.1f}")
END
}

results=$(mktemp)
for _ in $(seq "$rounds"); do
    for row in 'matmul/1024 f32' 'attention/blocked/1024 f32'; do
        # shellcheck disable=SC2086 # it is a command and its arguments
        $with "$own" --bench "$row\$" >/dev/null 2>&1
        median "$row" >>"$results"
    done
    for features in "" autotune; do
        # shellcheck disable=SC2086
        $with "benches/peers/burn/target/time-burn-$features" 2>/dev/null |
            sed -n "s/^burn/burn $features/; s/ GFLOP.*//; / 1024/p" >>"$results"
    done
    # shellcheck disable=SC2086
    $with "$python" benches/peers/time_onnxruntime.py 2>/dev/null | sed -n 's/ GFLOP.*//; / 1024/p' >>"$results" || true
done
sort -t: -k1,1 -k2,2n "$results" | awk -F': ' '
    $1 != name { if (count) print name ": " values[int((count + 1) / 2)]; name = $1; count = 0 }
    { values[++count] = $2 }
    END { if (count) print name ": " values[int((count + 1) / 2)] }'
rm "$results"
