//! Times burn's kernels on the adapter that wgpu prefers, by the wall clock of calls that wait for the device: matmul, and exact attention
//! (batch 1, 4 heads of 64, f32, not causal). Flops count multiply-adds as two.

use std::time::Instant;

use burn_tensor::module::attention;
use burn_tensor::{Device, DeviceKind, Distribution, Tensor};

const RUNS: usize = 9;
const HEADS: usize = 4;
const HEAD_SIZE: usize = 64;

/// The median time of a call, in seconds, after two that compile and choose.
fn median(device: &Device, mut run: impl FnMut()) -> f64 {
    let mut timed = || {
        let start = Instant::now();
        run();
        device.sync().expect("the device runs");
        start.elapsed().as_secs_f64()
    };
    timed();
    timed();
    let mut seconds: Vec<f64> = (0..RUNS).map(|_| timed()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[RUNS / 2]
}

fn main() {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let normal = Distribution::Normal(0.0, 1.0);
    for size in [512, 1024] {
        let matrix = || Tensor::<2>::random([size, size], normal, &device);
        let (a, b) = (matrix(), matrix());
        let seconds = median(&device, || drop(a.clone().matmul(b.clone())));
        let flops = 2.0 * (size as f64).powi(3);
        println!("burn 0.22.1, matmul {size}: {:.1} GFLOP/s", flops / seconds / 1e9);
    }
    for tokens in [512, 1024, 2048] {
        let heads = || Tensor::<4>::random([1, HEADS, tokens, HEAD_SIZE], normal, &device);
        let (q, k, v) = (heads(), heads(), heads());
        let attend = || drop(attention(q.clone(), k.clone(), v.clone(), None, None, Default::default()));
        let seconds = median(&device, attend);
        let flops = (4 * HEADS * HEAD_SIZE * tokens * tokens) as f64;
        println!("burn 0.22.1, attention of {tokens} tokens: {:.1} GFLOP/s", flops / seconds / 1e9);
    }
}
