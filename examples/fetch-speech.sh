#!/bin/sh
# Downloads Debian's pocketsphinx-testdata (1.8 MB, BSD-2-Clause) and puts five utterances of a LibriVox book, 25 s in all, with their texts into
# target/data/austen, as `foveate train ctc` reads them, unless they are there.
set -eu
cd "$(dirname "$0")/.."

version=0.8+5prealpha+1-15
sha256=eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0
folder=target/data/austen

if [ -d "$folder" ]; then
    exit 0
fi
mkdir -p target/data
# Beside the destination, so that the last step is a rename on one file system.
work=$(mktemp -d target/data/.fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT INT TERM
(cd "$work" && apt-get --quiet=2 -o APT::Sandbox::User=root download "pocketsphinx-testdata=$version")
package=$(find "$work" -name '*.deb')
echo "$sha256  $package" | sha256sum --check --quiet -
dpkg-deb --extract "$package" "$work/package"

speech=$work/package/usr/share/pocketsphinx/test/data/librivox
mkdir "$work/austen"
cp "$speech"/*.wav "$work/austen"
# A line is "<s> words </s> (NAME)".
sed -n 's|^<s> \(.*\) </s> (\(.*\))$|\2 \1|p' "$speech/transcription" | while read -r name words; do
    printf '%s\n' "$words" >"$work/austen/$name.txt"
done
mv "$work/austen" "$folder"
echo "$folder"
