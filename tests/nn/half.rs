use foveate::nn::{
    AdaptiveSpan, AdaptiveSpanAttention, BigBirdAttention, Layout, LogSparseAttention, LongformerAttention,
    Pattern, SparseTransformerAttention, TransformerXl, TransformerXlAttention, sinusoidal_positions,
};
use foveate::ops::attention::{BigBird, LogSparse};
use foveate::weights::Declarations;
use foveate::{DType, Graph, Result, TensorDesc, Value, ops};

use super::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

type Record<'a> = &'a dyn Fn(&mut Graph, Value) -> Result<Value>;

/// Layers compute in the type of what they read; what has to stay f32, such as spans, does.
#[test]
fn every_layer_takes_f16() {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let longformer = LongformerAttention::declare(&mut root.at("a"), WIDTH, HEADS, 2).unwrap();
    let pattern = Pattern::Strided { stride: 4 };
    let sparse = SparseTransformerAttention::declare(&mut root.at("b"), WIDTH, HEADS, pattern).unwrap();
    let spec = BigBird { block_size: 4, ..BigBird::default() };
    let big_bird = BigBirdAttention::declare(&mut root.at("c"), WIDTH, HEADS, spec).unwrap();
    let log_sparse =
        LogSparseAttention::declare(&mut root.at("d"), WIDTH, HEADS, 3, LogSparse::default()).unwrap();
    let spans =
        AdaptiveSpanAttention::declare(&mut root.at("e"), WIDTH, HEADS, AdaptiveSpan::default()).unwrap();
    let spec = TransformerXl { width: WIDTH, heads: HEADS, head_size: HEAD_SIZE, same_length: None };
    let recurrent = TransformerXlAttention::declare(&mut root.at("f"), spec).unwrap();
    let records: [Record<'_>; 6] = [
        &|graph, x| longformer.record(graph, x, None, &Layout::Rows),
        &|graph, x| sparse.record(graph, x),
        &|graph, x| big_bird.record(graph, x, None),
        &|graph, x| log_sparse.record(graph, x),
        &|graph, x| spans.record(graph, x, Some(x), None),
        &|graph, x| {
            let positions = sinusoidal_positions(DType::F16, 2 * TIME, WIDTH, None)?;
            let positions = ops::constant(graph, positions)?;
            recurrent.record(graph, x, Some(x), positions)
        },
    ];
    for (i, record) in records.iter().enumerate() {
        let mut graph = Graph::new();
        let desc = TensorDesc::f16([BATCH, TIME, WIDTH]);
        let x = graph.input("x", desc.clone()).unwrap();
        let out = record(&mut graph, x).unwrap_or_else(|error| panic!("layer {i}: {error}"));
        assert_eq!(*graph.desc(out).unwrap(), desc, "layer {i}");
        let wide = ops::cast(&mut graph, out, DType::F32).unwrap();
        let wide = ops::reshape(&mut graph, wide, [desc.elements()]).unwrap();
        let loss = ops::sum(&mut graph, wide, &[0]).unwrap();
        let weights: Vec<Value> = graph.parameters().iter().map(|(_, value)| *value).collect();
        graph.gradients(loss, &weights).unwrap_or_else(|error| panic!("layer {i}: {error}"));
    }
}
