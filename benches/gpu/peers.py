"""Times PyTorch on the problems of `gpu`, under the same names: one JSON object a line. Without a CUDA device, on the CPU.

f32 is f32: TF32 is off. Attention is the fastest of the backends of scaled_dot_product_attention that takes the problem.
"""
import argparse
import json
import time

try:
    import torch
    import torch.nn.functional as functional
except ImportError as error:
    print(json.dumps({"left_out": f"PyTorch: {error}"}))
    raise SystemExit(0)

numbers = lambda text: [int(number) for number in text.split(",")]
parser = argparse.ArgumentParser()
parser.add_argument("--matmul", type=numbers, default=[1024, 4096])
parser.add_argument("--lengths", type=numbers, default=[4096, 8192, 16384])
parser.add_argument("--head-sizes", type=numbers, default=[64, 128])
parser.add_argument("--heads", type=int, default=16)
settings = parser.parse_args()

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
on_cuda = torch.cuda.is_available()
device = "cuda" if on_cuda else "cpu"
name = torch.cuda.get_device_name() if on_cuda else "CPU"
print(json.dumps({"peer": f"PyTorch {torch.__version__}", "device": name}), flush=True)


def milliseconds(run):
    """The median of up to 20 runs within a second, by the device's clock."""
    run()
    times, start = [], time.perf_counter()
    while len(times) < 3 or (len(times) < 20 and time.perf_counter() - start < 1):
        if on_cuda:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            run()
            last.record()
            torch.cuda.synchronize()
            times.append(first.elapsed_time(last))
        else:
            begin = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - begin))
    return sorted(times)[len(times) // 2]


def backends():
    """Each backend by its name, with what chooses it; one that is not there refuses when it runs."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        import contextlib

        return {"default": contextlib.nullcontext}
    wanted = ["FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH"]
    names = [name for name in wanted if hasattr(SDPBackend, name)]
    return {name: lambda name=name: sdpa_kernel(getattr(SDPBackend, name)) for name in names}


def report(row, dtype, flops, runs):
    """Prints the fastest of `runs`, functions by name, of those that do not refuse."""
    best = None
    for kernel, run in runs.items():
        try:
            taken = milliseconds(run)
        except RuntimeError:
            continue
        best = min(best or (taken, kernel), (taken, kernel))
    line = {"row": row, "dtype": dtype}
    if best is None:
        line["left_out"] = "no backend takes it"
    else:
        line |= {"ms": best[0], "gflops": flops / best[0] / 1e6, "kernel": best[1]}
    print(json.dumps(line), flush=True)


def attention(time_, size, is_causal, has_gradients, dtype):
    shape = (1, settings.heads, time_, size)
    q, k, v = (torch.rand(shape, device=device, dtype=dtype).mul(2).sub(1) for _ in range(3))
    d_out = torch.rand(shape, device=device, dtype=dtype)
    for tensor in (q, k, v):
        tensor.requires_grad_(has_gradients)

    def run(choose):
        with choose():
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
            if has_gradients:
                torch.autograd.grad(out, (q, k, v), d_out)

    return {kernel: lambda choose=choose: run(choose) for kernel, choose in backends().items()}


for dtype_name, dtype in {"f32": torch.float32, "f16": torch.float16}.items():
    if dtype_name == "f16" and not on_cuda:
        continue
    for size in settings.matmul:
        a, b = (torch.rand(size, size, device=device, dtype=dtype) for _ in range(2))
        report(f"matmul {size}", dtype_name, 2 * size**3, {"matmul": lambda: a @ b})
    for length in settings.lengths:
        for size in settings.head_sizes:
            for has_gradients in (False, True):
                for is_causal in (False, True):
                    mask = "causal" if is_causal else "full"
                    gradients = " with gradients" if has_gradients else ""
                    row = f"attention {mask}{gradients}, {length} tokens, {settings.heads} heads of {size}"
                    flops = (7 if has_gradients else 2) * 2 * settings.heads * length**2 * size / (2 if is_causal else 1)
                    report(row, dtype_name, flops, attention(length, size, is_causal, has_gradients, dtype))
