#!/usr/bin/env python3
"""LSH attention of two other implementations, run in f64, as files that the test target `oracles` reads:

    pip install torch transformers reformer-pytorch
    python tests/reference_lsh.py DIR --length 150 --chunk 12 --rounds 3
    FOVEATE_ORACLES=DIR cargo test --test oracles mechanisms/

Without sizes it writes a few cases of each. Hugging Face's `LSHSelfAttention` fills a text up to whole chunks with padding that nobody sees, here as
its model does; `reformer_pytorch.LSHAttention` takes an even number of whole buckets, and cases of another length are left out."""

import argparse
import json
import pathlib

import numpy
import torch
from reformer_pytorch import LSHAttention
from safetensors.numpy import save_file
from transformers import ReformerConfig
from transformers.models.reformer import modeling_reformer as reformer

# Buckets that are computed in f32 must be those of f64: no two largest numbers of a rotation lie nearer to each other.
MARGIN = 2e-3
BATCH = 2


def f32(x):
    """Numbers that the file holds exactly, in f64."""
    return x.to(torch.float32).to(torch.float64)


def rotated(rows, rotations, factors):
    """The numbers among which each factor takes the largest: of rows [.., time, size] and rotations [heads or 1, size, rounds, width]."""
    turned = torch.einsum("bhtd,hdrw->bhrtw", rows, rotations.expand(rows.shape[1], -1, -1, -1))
    first = 0
    for factor in factors:
        own = turned[..., first:first + factor // 2]
        first += factor // 2
        yield torch.cat([own, -own], -1)


def tokens(generator, shape, rotations, factors):
    """Random rows [batch, heads, time, size], drawn again until all their buckets are certain."""
    rows = f32(torch.randn(shape, generator=generator, dtype=torch.float64))
    while True:
        unsure = torch.zeros(shape[:3], dtype=torch.bool)
        for numbers in rotated(rows, rotations, factors):
            top = numbers.topk(2, -1).values
            unsure |= (top[..., 0] - top[..., 1] < MARGIN).any(2)
        if not unsure.any():
            return rows
        again = f32(torch.randn(shape, generator=generator, dtype=torch.float64))
        rows = torch.where(unsure[..., None], again, rows)


class Drawn:
    """Gives `rotations` in the place of what `torch.randn` would draw."""

    def __init__(self, rotations):
        self.rotations = rotations

    def __enter__(self):
        self.kept = torch.randn
        torch.randn = lambda *shape, **_: self.rotations

    def __exit__(self, *_):
        torch.randn = self.kept


def hugging_face(case, qk, v, rotations, lengths):
    """`LSHSelfAttention` without its projections: queries are the first half of what it reads, values the second."""
    heads, size = case["heads"], case["head_size"]
    config = ReformerConfig(
        hidden_size=2 * heads * size, num_attention_heads=heads, attention_head_size=size, num_hashes=case["rounds"],
        num_buckets=case["factors"] if len(case["factors"]) > 1 else case["factors"][0], is_decoder=case["causal"],
        lsh_attn_chunk_length=case["chunk"], lsh_num_chunks_before=case["before"], lsh_num_chunks_after=case["after"],
        lsh_attention_probs_dropout_prob=0.0, hash_seed=None)
    layer = reformer.LSHSelfAttention(config).double().eval()
    one, none = torch.eye(heads * size, dtype=torch.float64), torch.zeros(heads * size, heads * size, dtype=torch.float64)
    layer.query_key.weight.data = torch.cat([one, none], 1)
    layer.value.weight.data = torch.cat([none, one], 1)
    padded = -(-case["length"] // case["chunk"]) * case["chunk"]
    flat = lambda x: torch.nn.functional.pad(x.transpose(1, 2).flatten(2), (0, 0, 0, padded - case["length"]))
    found = {}

    class Sorted:
        @staticmethod
        def apply(*arguments):
            results = real.apply(*arguments)
            found["lse"] = results[1]
            return results

    mask = torch.arange(padded)[None, :] < lengths[:, None]
    real, reformer.ReverseSort = reformer.ReverseSort, Sorted
    try:
        with Drawn(rotations):
            result = layer(torch.cat([flat(qk), flat(v)], 2), attention_mask=mask)
    finally:
        reformer.ReverseSort = real
    out = result.hidden_states[:, :case["length"]].unflatten(2, (heads, size))
    own = found["lse"].reshape(BATCH, heads, case["rounds"], padded)[..., :case["length"]]
    buckets = result.buckets.reshape(BATCH, heads, case["rounds"], padded)
    # The numbers of a round lie behind those of the round before; padding's bucket counts as one.
    buckets = buckets % (numpy.prod(case["factors"]) + int((~mask).any()))
    return out, buckets, {"lse_rounds": own, "lse": torch.logsumexp(own, 2)}


def lucidrains(case, qk, v, rotations, lengths):
    """`LSHAttention` of the heads one by one, which the rotations are the same for."""
    heads, length = case["heads"], case["length"]
    layer = LSHAttention(bucket_size=case["chunk"], n_hashes=case["rounds"], causal=case["causal"],
                         attend_across_buckets=not case["same_bucket"],
                         allow_duplicate_attention=not case["deduplicated"]).double().eval()
    flat = lambda x: x.reshape(BATCH * heads, length, -1)
    mask = (torch.arange(length)[None, :] < lengths[:, None]).repeat_interleave(heads, 0)
    masks = {"input_mask": mask} if case["padded"] else {}
    rows = rotations.expand(BATCH * heads, -1, -1, -1)
    with Drawn(rows):
        out, _, buckets = layer(flat(qk), flat(v), **masks)
    out = out.reshape(BATCH, heads, length, -1).transpose(1, 2)
    buckets = buckets.reshape(BATCH, heads, case["rounds"], length) % case["factors"][0]
    return out, buckets, {}


def write(folder, case):
    generator = torch.Generator().manual_seed(case["seed"])
    is_hf = case["convention"] == "hf"
    heads, size, rounds, length = case["heads"], case["head_size"], case["rounds"], case["length"]
    width = sum(case["factors"]) // 2
    rotations = f32(torch.randn((heads if is_hf else 1, size, rounds, width), generator=generator, dtype=torch.float64))
    shape = (BATCH, heads, length, size)
    qk = tokens(generator, shape, rotations, case["factors"]).requires_grad_()
    v = f32(torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
    lengths = torch.tensor([length, length - length // 3 if case["padded"] else length])
    out, buckets, others = (hugging_face if is_hf else lucidrains)(case, qk, v, rotations, lengths)
    d_out = f32(torch.randn(out.shape, generator=generator, dtype=torch.float64))
    d_out = d_out * (torch.arange(length)[None, :] < lengths[:, None])[..., None, None]
    (out * d_out).sum().backward()
    rows = lambda x: x.transpose(1, 2)
    tensors = {"qk": rows(qk), "v": rows(v), "rotations": rotations, "out": out, "d_out": d_out, "d_qk": rows(qk.grad),
               "d_v": rows(v.grad), **others}
    tensors = {name: numpy.ascontiguousarray(x.detach().numpy().astype(numpy.float32)) for name, x in tensors.items()}
    integers = {"buckets": buckets, "order": torch.sort(buckets, dim=-1, stable=True).indices}
    if case["padded"]:
        integers["length"] = lengths
    tensors |= {name: numpy.ascontiguousarray(x.numpy().astype(numpy.int32)) for name, x in integers.items()}
    spec = {
        "mechanism": "LSH attention", "convention": case["convention"], "n_hashes": rounds, "causal": case["causal"],
        "bucket_factors": case["factors"], "chunk": case["chunk"], "chunks_before": case["before"],
        "chunks_after": case["after"], "padded_length": buckets.shape[-1],
        "view": "chunk c of all rounds, one behind the other in a ring, sees chunks c-before .. c+after",
        "key": "k = q / sqrt(mean(q^2) + 1e-6) / sqrt(D)" if is_hf else "k = q / max(|q|_2, 1e-12)",
        "scale": 1.0 if is_hf else size ** -0.5, "self_value": -1e5 if is_hf else -5e4,
        "mask": "same bucket" if case["same_bucket"] else "all of the chunks",
        "duplicates": "scores lowered by ln N_ij" if case["deduplicated"] else "double counted",
        "inputs": ["qk", "v"], "outputs": ["out", *others], "differentiated_outputs": ["out"],
    }
    path = folder / "mechanisms" / f"lsh_{case['convention']}_{case['name']}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"spec": json.dumps(spec)})
    print(path)


def cases(arguments):
    own = {"heads": arguments.heads, "head_size": arguments.head_size, "before": 1, "after": 0, "causal": False,
           "padded": False, "same_bucket": False, "deduplicated": False, "seed": arguments.seed}
    sizes = [(arguments.length, arguments.chunk, arguments.rounds)]
    if arguments.length is None:
        sizes = [(150, 12, 3), (96, 8, 2), (257, 32, 5), (192, 16, 1)]
    for length, chunk, rounds in sizes:
        chunks = -(-length // chunk)
        even = lambda count: max(2, count + count % 2)
        own |= {"length": length, "chunk": chunk, "rounds": rounds}
        name = f"{length}_{chunk}_{rounds}"
        hf = own | {"convention": "hf", "factors": [even(2 * chunks)]}
        yield hf | {"name": f"bidirectional_{name}", "after": 1}
        yield hf | {"name": f"causal_{name}", "causal": True}
        yield hf | {"name": f"padded_{name}", "padded": True}
        yield hf | {"name": f"factored_{name}", "causal": True, "factors": [4, even(chunks // 2)]}
        if length % (2 * chunk) > 0:
            continue
        paper = own | {"convention": "lucidrains", "factors": [length // chunk]}
        yield paper | {"name": f"bidirectional_{name}"}
        yield paper | {"name": f"causal_{name}", "causal": True}
        yield paper | {"name": f"padded_{name}", "padded": True}
        yield paper | {"name": f"same_bucket_{name}", "causal": True, "same_bucket": True, "deduplicated": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--length", type=int, help="tokens of a text")
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--head-size", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for case in cases(arguments):
        write(arguments.folder, case)


if __name__ == "__main__":
    main()
