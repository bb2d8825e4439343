"""Writes the report of a folder that run.sh has filled, as Markdown, to stdout: `python3 report.py results`."""
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])


def text(name):
    path = folder / name
    return path.read_text(errors="replace") if path.exists() else ""


def lines(name):
    """The JSON objects of a file that has one a line; other lines are passed over."""
    found = []
    for line in text(name).splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


status = dict(line.rsplit(" ", 1) for line in text("status.txt").splitlines() if " " in line)
ours, peers = lines("gpu.out"), lines("peers.out")
adapter = next((line["adapter"] for line in ours if "adapter" in line), "no adapter opened: see info.err and gpu.err")
peer = next((f"{line['peer']} on {line['device']}" for line in peers if "peer" in line), None)
print(f"# foveate on {adapter}\n")
if "software rasterizer" in adapter:
    print("**This adapter is a software rasterizer and no GPU: the rates below say nothing about one.**\n")

words = {
    "0": "ran",
    "1": "a result was wrong, or the device failed",
    "124": "cut: it ran out of its time",
    "left-out": "left out: the time for all steps was over",
}


def significant(rate):
    """A rate with three digits, whatever its size."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def shown(name):
    """The output of a step, without rows that were not run; of a long one, the first and the last lines."""
    rows = [line for line in text(name).strip().splitlines() if "| not run |" not in line]
    return rows if len(rows) <= 60 else rows[:15] + [".."] + rows[-44:]


print("## Correctness\n")
checks = {name.removeprefix("check-"): code for name, code in status.items() if name.startswith("check-")}
passed = [name for name, code in checks.items() if code == "0"]
cut = [name for name, code in checks.items() if code == "124"]
left = [name for name, code in checks.items() if code == "left-out"]
failed = [name for name, code in checks.items() if code not in ("0", "124", "left-out")]


def counted(names):
    """Names with how many of their cases passed."""
    passes = {name: sum(line.startswith("ok") for line in text(f"check-{name}.out").splitlines()) for name in names}
    return ", ".join(f"{name} ({count})" for name, count in passes.items()) or "none"


print(f"- all cases passed: {counted(passed)}")
if status.get("ops") != "0":
    print(f"- THE OTHER OPS WERE NOT CHECKED, their names are not known: `{text('ops.err').strip()[-400:]}`")
if cut:
    print(f"- cut by the time limit, what had passed until then: {counted(cut)}")
if left:
    print(f"- left out, as the time was over: {', '.join(left)}")
for name in failed + cut:
    for line in text(f"check-{name}.out").splitlines():
        if line.startswith("FAILED"):
            print(f"- `{line}`")
    if name in failed:
        print(f"- {name} ended with code {checks[name]}: `{text(f'check-{name}.err').strip()[-400:]}`")
wrong = [line for line in ours if line.get("right") is False]
for line in wrong:
    print(f"- WRONG: {line['row']} {line['dtype']}: {line['error_of_bound']} of its bound")
if not wrong:
    print(f"- {sum('ms' in line for line in ours)} timed problems agree with sums in f64")

print("\n## Speed\n")
if peer is None:
    print("Without PyTorch, which Python has not got here: nothing is compared with it.\n")
elif peer.endswith(" on CPU"):
    print(f"Beside {peer}, as PyTorch found no CUDA device: the ratios compare two devices.\n")
else:
    print(f"Beside {peer}, TF32 off, the best of its attention backends.\n")
theirs = {(line.get("row"), line.get("dtype")): line for line in peers if "ms" in line}
print("| problem | type | ms | GFLOP/s | peer's GFLOP/s | ratio | kernel |\n|---|---|---|---|---|---|---|")
ratios = []
for line in ours:
    if "row" not in line:
        continue
    if "ms" not in line:
        print(f"| {line['row']} | {line['dtype']} | {line['left_out']} | | | | |")
        continue
    other = theirs.get((line["row"], line["dtype"]))
    ratio = line["gflops"] / other["gflops"] if other else None
    if ratio:
        ratios.append((ratio, line["row"], line["dtype"]))
    kernel = "; ".join(line["kernels"][:1])
    beside = f"{significant(other['gflops'])} ({other['kernel']}) | {ratio:.2f}" if other else "|"
    rate = significant(line["gflops"])
    print(f"| {line['row']} | {line['dtype']} | {line['ms']:.3f} | {rate} | {beside} | {kernel} |")
if ratios:
    ratio, row, dtype = min(ratios)
    print(f"\nThe worst ratio: {ratio:.2f}, {row}, {dtype}.")

print("\n## Steps\n")
for name, code in status.items():
    if not name.startswith("check-"):
        scripts = {"1": "failed: see its .err file"} if name in ("ops", "peers") else {}
        print(f"- {name}: {scripts.get(code) or words.get(code, f'code {code}')}")
for name in ["tune", "bench", "models", "generate"]:
    rows, code = shown(f"{name}.out"), status.get(name, "0")
    if name == "tune":
        # Its result is the profile; what it shows matters where there is none.
        rows = []
    if code != "0":
        rows += shown(f"{name}.err")
    if rows:
        note = "" if code == "0" else f" ({words.get(code, f'code {code}')})"
        print(f"\n## {name}{note}\n\n```", *rows, "```", sep="\n")
