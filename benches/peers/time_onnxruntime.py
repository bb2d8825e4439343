"""Times onnxruntime's WebGPU kernels on the Vulkan adapter that Dawn finds, host copies included.

    pip install onnxruntime-webgpu==1.27.0 onnx numpy
    python3 benches/peers/time_onnxruntime.py

Prints the median rate of exact attention (batch 1, 4 heads of 64, f32, not causal) for each length, counting multiply-adds as two.
"""

import argparse
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

HEADS = 4
HEAD_SIZE = 64


def attention(length: int) -> onnxruntime.InferenceSession:
    """Multi-head attention over `length` tokens, as the contrib operator that onnxruntime has kernels of its own for."""
    shape = [1, length, HEADS * HEAD_SIZE]
    names = ["query", "key", "value"]
    node = helper.make_node(
        "MultiHeadAttention", names, ["out"], domain="com.microsoft", num_heads=HEADS
    )
    graph = helper.make_graph(
        [node],
        "attention",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    # A node that the adapter does not take must not run on the CPU unseen.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["WebGpuExecutionProvider"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    random = numpy.random.default_rng(3)
    for length in arguments.lengths:
        session = attention(length)
        inputs = {
            name: random.standard_normal((1, length, HEADS * HEAD_SIZE), dtype=numpy.float32)
            for name in ["query", "key", "value"]
        }
        session.run(None, inputs)
        seconds = []
        for _ in range(arguments.runs):
            start = time.perf_counter()
            session.run(None, inputs)
            seconds.append(time.perf_counter() - start)
        flops = 4 * HEADS * HEAD_SIZE * length * length
        print(f"onnxruntime-webgpu {onnxruntime.__version__}, {length} tokens: {flops / numpy.median(seconds) / 1e9:.1f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
