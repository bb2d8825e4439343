#!/bin/sh
# Builds what run.sh needs and puts it into one folder, to be carried to a machine with a GPU: nothing is built there.
#
#     sh benches/gpu/collect.sh [folder]        (target/gpu; build on a system whose C library is no newer than the GPU machine's)
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-target/gpu}
mkdir -p "$folder"

# The path of the program that cargo built for the target of this name.
executable() {
    sed -n "s/.*\"executable\":\"\([^\"]*\/$1\(-[0-9a-f]*\)\{0,1\}\)\".*/\1/p" | tail -n 1
}

cp "$(cargo build --release --message-format json | executable foveate)" "$folder/foveate"
benches=$(cargo bench --no-run --bench gpu --bench models --bench generate --message-format json)
for name in gpu models generate; do
    cp "$(printf '%s\n' "$benches" | executable "$name")" "$folder/$name"
done
cp benches/gpu/run.sh benches/gpu/peers.py benches/gpu/report.py "$folder/"
ls -l "$folder"
