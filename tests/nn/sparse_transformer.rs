use foveate::nn::{Pattern, SparseTransformerAttention};
use foveate::weights::Declarations;
use foveate::{Graph, TensorDesc};

use super::dense::{Pair, self_attention};
use super::support::{Trial, Values, assert_causal, random};
use super::{BATCH, HEADS, TIME, WIDTH};

const NAMES: [&str; 4] = ["query", "key", "value", "output"];

fn layer(pattern: Pattern) -> (Trial, SparseTransformerAttention) {
    let mut declarations = Declarations::new();
    let layer = SparseTransformerAttention::declare(&mut declarations.root(), WIDTH, HEADS, pattern).unwrap();
    (Trial::new(&declarations, &[("x", random("x", &[BATCH, TIME, WIDTH], 1.0))]), layer)
}

/// The paper's `A(1)` and `A(2)` of section 4.2, strided.
#[test]
fn strided() {
    let stride = 5;
    let sees = |Pair { query, key, .. }: Pair| {
        key <= query && (query - key < stride || (query - key).is_multiple_of(stride))
    };
    let (trial, layer) = layer(Pattern::Strided { stride: stride as u32 });
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"]);
    trial.check(&record, &|tensors| self_attention(tensors, NAMES, [BATCH, TIME], sees));
    assert_causal(trial, &record);
}

/// The same, fixed.
#[test]
fn fixed() {
    let (stride, expressivity) = (7, 2);
    let pattern = Pattern::Fixed { stride: stride as u32, expressivity: expressivity as u32 };
    let sees = |Pair { query, key, .. }: Pair| {
        key <= query && (query / stride == key / stride || key % stride >= stride - expressivity)
    };
    let (trial, layer) = layer(pattern);
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"]);
    trial.check_reference(&record, &|tensors| self_attention(tensors, NAMES, [BATCH, TIME], sees));
    assert_causal(trial, &record);
}

#[test]
fn wrong_settings_are_refused() {
    for (pattern, sentence) in [
        (Pattern::Strided { stride: 0 }, "attention rule: dilation: expected at least 1, found 0"),
        (
            Pattern::Fixed { stride: 4, expressivity: 0 },
            "attention rule: expressivity: expected at least 1, found 0",
        ),
    ] {
        let (_, layer) = layer(pattern);
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, TIME, WIDTH])).unwrap();
        assert_eq!(layer.record(&mut graph, x).unwrap_err().to_string(), sentence);
    }
}
