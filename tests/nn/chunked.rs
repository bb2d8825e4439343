use foveate::gpu::Program;
use foveate::nn::{Attend, ChunkedAttention, Layout, Recorder};
use foveate::ops::attention::Border;
use foveate::{DType, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu};

use super::support::{assert_near, context, random};
use super::{HEAD_SIZE, HEADS};

const CHUNK: usize = 4;

/// `_look_adjacent` of Hugging Face's Reformer: for each offset the chunks, rolled by it, one behind the other. Gives which chunks each sees.
fn look_adjacent(chunks: usize, before: usize, after: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..chunks).collect();
    let mut slices: Vec<Vec<usize>> = Vec::new();
    for offset in -(before as i64)..=after as i64 {
        let at = offset.rem_euclid(chunks as i64) as usize;
        slices.push([&all[at..], &all[..at]].concat());
    }
    (0..chunks).map(|chunk| slices.iter().map(|slice| slice[chunk]).collect()).collect()
}

/// Softmax over the keys of all chunks that are looked at, each as often as it is there.
fn looked_around(qkv: &[Vec<f64>; 3], time: usize, around: [usize; 2], is_causal: bool) -> Vec<f64> {
    let seen = look_adjacent(time.div_ceil(CHUNK), around[0], around[1]);
    let mut out = Vec::new();
    for i in 0..time {
        for head in 0..HEADS {
            let row = |part: usize, at: usize| &qkv[part][(at * HEADS + head) * HEAD_SIZE..][..HEAD_SIZE];
            let keys = seen[i / CHUNK].iter().flat_map(|chunk| chunk * CHUNK..(chunk + 1) * CHUNK);
            let keys: Vec<usize> = keys.filter(|&j| j < time && !(is_causal && j > i)).collect();
            let dot = |j| row(0, i).iter().zip(row(1, j)).map(|(q, k)| q * k).sum::<f64>();
            let weights: Vec<f64> =
                keys.iter().map(|&j| (dot(j) / (HEAD_SIZE as f64).sqrt()).exp()).collect();
            let total: f64 = weights.iter().sum();
            for channel in 0..HEAD_SIZE {
                let values = keys.iter().zip(&weights).map(|(&j, weight)| weight * row(2, j)[channel]);
                out.push(values.sum::<f64>() / total);
            }
        }
    }
    out
}

fn record(graph: &mut Graph, layer: ChunkedAttention, time: usize) -> Result<Value> {
    let rows = TensorDesc::f32([1, time, HEADS, HEAD_SIZE]);
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, rows.clone()).unwrap());
    layer.record(&mut Recorder::new(graph, DType::F32), q, k, v, &Layout::Rows)
}

#[test]
fn a_ring_counts_a_chunk_as_often_as_it_is_looked_at() {
    for (chunks, before, after) in [(2, 1, 1), (2, 2, 0), (2, 2, 1), (3, 1, 1), (3, 2, 2), (4, 3, 2)] {
        for is_causal in [false, true] {
            let time = chunks * CHUNK;
            let mut layer = ChunkedAttention::new(CHUNK).around(before, after, Border::Ring);
            if is_causal {
                layer = layer.causal();
            }
            let mut graph = Graph::new();
            let out = record(&mut graph, layer, time).unwrap();
            graph.output("out", out).unwrap();
            let rows = ["q", "k", "v"].map(|name| random(name, &[1, time, HEADS, HEAD_SIZE], 1.0));
            let inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v"].into_iter().zip(&rows).collect();
            let found = cpu::run(&graph, &inputs).unwrap()["out"].to_f64();
            let expected =
                looked_around(&rows.each_ref().map(HostTensor::to_f64), time, [before, after], is_causal);
            let what = format!("{chunks} chunks, {before} before, {after} behind, causal {is_causal}");
            assert_near(&what, &found, &expected, 1e-6);
            let program = Program::new(context(), &Plan::new(&graph, context().caps()).unwrap()).unwrap();
            let found = program.run(&inputs).unwrap()["out"].to_f64();
            assert_near(&format!("{what}, on the device"), &found, &expected, 1e-5);
        }
    }
}

#[test]
fn more_than_once_round_the_ring_is_refused() {
    let layer = ChunkedAttention::new(CHUNK).around(3, 0, Border::Ring);
    let error = record(&mut Graph::new(), layer, 2 * CHUNK).unwrap_err();
    assert_eq!(
        error.to_string(),
        "chunked attention: before: expected at most the 2 chunks of a ring, found 3"
    );
    assert_eq!(error.kind(), ErrorKind::Argument);
}
