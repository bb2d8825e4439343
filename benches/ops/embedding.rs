use criterion::{Criterion, Throughput};
use foveate::HostTensor;
use foveate::ops::embedding;

use crate::support::{bench_on as row, group, own};

const IDS: usize = 2048;

/// A table of `rows` by `width`, and ids that jump about in it.
fn pair(rows: usize, width: usize) -> [HostTensor; 2] {
    let elements = (0..rows * width).map(|i| (i % 251) as f32).collect();
    let ids = (0..IDS).map(|i| (i * 7919 % rows) as u32).collect();
    let pair = [HostTensor::f32([rows, width], elements), HostTensor::u32([IDS], ids)];
    pair.map(|tensor| tensor.expect("as many as the shape has"))
}

/// Bytes are one read of every row that is looked up, of every id, and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "embedding");
    let bytes = |tables: usize| Throughput::Bytes((IDS * (384 * 4 * (tables + 1) + 4 * tables)) as u64);
    let [words, word_ids] = pair(30_522, 384);
    let [positions, position_ids] = pair(512, 384);
    let inputs = [("words", words), ("word ids", word_ids)];
    row(&mut group, "2048 of 30522 x 384 f32", own(), bytes(1), &inputs, |graph, v| {
        embedding(graph, &[(v[0], v[1])])
    });
    let [words, ids] = inputs;
    let inputs = [words, ids, ("positions", positions), ("position ids", position_ids)];
    row(&mut group, "2048 of 30522 and of 512 x 384 f32", own(), bytes(2), &inputs, |graph, v| {
        embedding(graph, &[(v[0], v[1]), (v[2], v[3])])
    });
    group.finish();
}
