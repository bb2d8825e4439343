#!/bin/sh
# Measures foveate on a machine with a GPU and a Vulkan loader (or Metal, or DX12), in ten minutes at most, and writes everything it finds to
# files and a report in Markdown:
#
#     sh benches/gpu/collect.sh                         # on the machine that builds
#     sh target/gpu/run.sh [results] [adapter]          # on the machine with the GPU: `sh run.sh results NVIDIA`
#
# Correctness first (self-tests, conformance by priority with a time limit for each op), then speed, against PyTorch on the same card where
# Python has it. QUICK=1 takes sizes for a software rasterizer, to try the script. SECONDS_IN_ALL=1200 takes longer: what does not fit is left
# out or cut, and the report says so.
set -eu
programs=$(cd "$(dirname "$0")" && pwd)
results=${1:-results}
adapter=${2:-gpu}
mkdir -p "$results"
last=$(($(date +%s) + ${SECONDS_IN_ALL:-600}))

if [ -n "${QUICK:-}" ]; then
    op_seconds=10 check_seconds=40 tune_seconds=10 gpu_seconds=60 bench_seconds=20
    sizes="--matmul 256 --lengths 256 --head-sizes 64 --heads 2"
    layers=1
else
    op_seconds=20 check_seconds=150 tune_seconds=60 gpu_seconds=150 bench_seconds=40
    sizes="--matmul 1024,4096,8192 --lengths 4096,8192,16384 --head-sizes 64,128 --heads 16"
    layers=12
fi

# Runs a command with a limit in seconds, and gives 124 where it is reached. macOS has no `timeout`, but Perl, whose alarm outlives the exec.
limited() {
    if command -v timeout >/dev/null; then
        timeout "$@"
        return
    fi
    code=0
    perl -e 'alarm shift; exec @ARGV or exit 127' "$@" || code=$?
    # 128 and the number of SIGALRM.
    if [ "$code" -eq 142 ]; then code=124; fi
    return "$code"
}

# Runs a command with a time limit, its output in files of this name; what failed is part of the report.
step() {
    name=$1 limit=$2
    shift 2
    left=$((last - $(date +%s)))
    if [ "$left" -le 0 ]; then
        printf '%s left-out\n' "$name" >>"$results/status.txt"
        return
    fi
    if [ "$limit" -gt "$left" ]; then limit=$left; fi
    printf '%s: %s\n' "$(date +%T)" "$name"
    status=0
    limited "$limit" "$@" >"$results/$name.out" 2>"$results/$name.err" || status=$?
    printf '%s %s\n' "$name" "$status" >>"$results/status.txt"
}

: >"$results/status.txt"
step info 30 "$programs/foveate" info --json
step kernels 90 "$programs/foveate" info --ops --json

# The ops that others stand on come first; of the others, as many as there is time for. An adapter that did not open has none.
end=$(($(date +%s) + check_seconds))
first="matmul linear attention/blocked softmax normalize/layer_norm embedding loss/cross_entropy"
step ops 20 python3 -c '
import json, sys
try:
    adapters = json.load(open(sys.argv[1]))["adapters"]
except ValueError:
    sys.exit("kernels.out, of `info --ops --json`, is not complete")
names = {op["op"] for adapter in adapters for op in adapter.get("ops", [])} - set(sys.argv[2].split())
if not names:
    sys.exit("no adapter has ops beside the first")
print(*sorted(names))' "$results/kernels.out" "$first"
others=$(cat "$results/ops.out" 2>/dev/null || true)
for op in $first $others; do
    if [ "$(date +%s)" -ge "$end" ]; then
        printf 'check-%s left-out\n' "$op" | tr / - >>"$results/status.txt"
        continue
    fi
    step "check-$(printf %s "$op" | tr / -)" "$op_seconds" "$programs/foveate" check --device "$adapter" --op "$op"
done

step tune $((tune_seconds + 60)) "$programs/foveate" tune --device "$adapter" --budget "$tune_seconds" --out "$results/profile.json" --json
# shellcheck disable=SC2086 # they are words
step gpu $((gpu_seconds + 60)) "$programs/gpu" --device "$adapter" $sizes --seconds "$gpu_seconds"
# shellcheck disable=SC2086
step peers 120 python3 "$programs/peers.py" $sizes
step bench $((bench_seconds + 30)) "$programs/foveate" bench --device "$adapter" --budget "$bench_seconds" --json "$results/bench.json"
step models 60 "$programs/models" --bench
step generate 90 "$programs/generate" --bench "$layers"
grep -q '"peer"' "$results/peers.out" 2>/dev/null || echo "no PyTorch here: nothing is compared with it"
python3 "$programs/report.py" "$results" >"$results/report.md"
printf '%s: %s\n' "$(date +%T)" "$results/report.md"
