use foveate::nn::{DisentangledAttention, Distances, Layout, Linear, Projections};
use foveate::ops::attention::LogBuckets;
use foveate::weights::{Declarations, Scope};
use foveate::{Graph, HostTensor, Result, TensorDesc, Value};

use super::dense::{Pair, attend, dot, head, linear};
use super::support::{Tensors, Trial, Values, random};
use super::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

const SPAN: u32 = 6;
const LENGTHS: [usize; BATCH] = [17, TIME];

fn layer(
    content: fn(&mut Scope<'_>) -> Result<Projections>,
    [has_key, has_query]: [bool; 2],
    distances: Distances,
) -> (Declarations, DisentangledAttention) {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let content = content(&mut root).unwrap();
    let mut dense = |name: &str| Linear::declare(&mut root.at(name), WIDTH, WIDTH).unwrap();
    let position_key = has_key.then(|| dense("position_key"));
    let position_query = has_query.then(|| dense("position_query"));
    let output = dense("output");
    let layer =
        DisentangledAttention { content, position_key, position_query, output, heads: HEADS, distances };
    (declarations, layer)
}

fn apart(scope: &mut Scope<'_>) -> Result<Projections> {
    Projections::declare_apart(scope, ["query", "key", "value"], WIDTH)
}

fn together(scope: &mut Scope<'_>) -> Result<Projections> {
    Projections::declare_together(scope, ["qkv", "query_bias", "value_bias"], WIDTH)
}

fn trial(declarations: &Declarations) -> Trial {
    let lengths = LENGTHS.map(|length| length as i32).to_vec();
    let inputs = [
        ("x", random("x", &[BATCH, TIME, WIDTH], 1.0)),
        ("relative", random("relative", &[2 * SPAN as usize, WIDTH], 1.0)),
        ("lengths", HostTensor::i32([BATCH], lengths).unwrap()),
    ];
    Trial::new(declarations, &inputs)
}

fn record(layer: &DisentangledAttention) -> impl Fn(&mut Graph, &Values) -> Result<Value> {
    let layer = layer.clone();
    move |graph, values| {
        let layout = Layout::Padded { lengths: values["lengths"] };
        layer.record(graph, values["x"], values["relative"], &layout)
    }
}

/// Queries, keys and values: of one layer, where there is none for each.
fn content(tensors: &Tensors) -> [Vec<f64>; 3] {
    if tensors.contains_key("query.weight") {
        return ["query", "key", "value"].map(|name| linear(&tensors["x"], tensors, name, WIDTH));
    }
    let rows = linear(&tensors["x"], tensors, "qkv", WIDTH);
    [Some("query_bias"), None, Some("value_bias")].map(|bias| bias.map(|bias| &tensors[bias])).map({
        let mut part = 0;
        move |bias| {
            let own = part;
            part += 1;
            let channels = (0..BATCH * TIME * WIDTH).map(|at| {
                let (row, of, channel) = (at / WIDTH, at / HEAD_SIZE % HEADS, at % HEAD_SIZE);
                rows[row * 3 * WIDTH + (3 * of + own) * HEAD_SIZE + channel]
                    + bias.map_or(0.0, |bias| bias[at % WIDTH])
            });
            channels.collect()
        }
    })
}

/// Three sums over channels for each pair, as section 3.1 of the paper has them.
fn dense(tensors: &Tensors, row_of: impl Fn(i64) -> usize) -> Vec<f64> {
    let [query, key, value] = content(tensors);
    let by_distance = |name: &str| {
        let is_there = tensors.contains_key(&format!("{name}.weight"));
        is_there.then(|| linear(&tensors["relative"], tensors, name, WIDTH))
    };
    let (position_key, position_query) = (by_distance("position_key"), by_distance("position_query"));
    let terms = 1 + usize::from(position_key.is_some()) + usize::from(position_query.is_some());
    let gathered = attend([BATCH, TIME, TIME], &value, |Pair { batch, head: of, query: i, key: j }| {
        let row = row_of(i as i64 - j as i64);
        let (q, k) = (head(&query, TIME, batch, i, of), head(&key, TIME, batch, j, of));
        let content_to_position = position_key.as_ref().map_or(0.0, |rows| dot(q, head(rows, 0, 0, row, of)));
        let position_to_content =
            position_query.as_ref().map_or(0.0, |rows| dot(k, head(rows, 0, 0, row, of)));
        let score = dot(q, k) + content_to_position + position_to_content;
        (score / ((HEAD_SIZE * terms) as f64).sqrt(), f64::from(u8::from(j < LENGTHS[batch])))
    });
    linear(&gathered, tensors, "output", WIDTH)
}

fn exact(distance: i64) -> usize {
    (distance + i64::from(SPAN)).clamp(0, 2 * i64::from(SPAN) - 1) as usize
}

/// The buckets of 6 in either direction up to distance 15: single ones to 3, then `3 + ceil(2 ln(d / 3) / ln 5)`.
fn in_buckets(distance: i64) -> usize {
    let bucket = match distance.abs() {
        near @ 0..=3 => near,
        4..=6 => 4,
        7..=15 => 5,
        _ => 6,
    };
    exact(bucket * distance.signum())
}

#[test]
fn equals_three_sums_for_each_pair() {
    let (declarations, layer) = layer(apart, [true, true], Distances::Exact(SPAN));
    trial(&declarations).check(&record(&layer), &|tensors| dense(tensors, exact));
}

#[test]
fn far_distances_share_buckets_and_one_layer_makes_all_three() {
    let buckets = Distances::Buckets(LogBuckets { span: SPAN, max_distance: 16 });
    let (declarations, layer) = layer(together, [true, true], buckets);
    trial(&declarations).check(&record(&layer), &|tensors| dense(tensors, in_buckets));
}

#[test]
fn either_term_may_be_left_out() {
    for terms in [[true, false], [false, true]] {
        let (declarations, layer) = layer(apart, terms, Distances::Exact(SPAN));
        trial(&declarations).check_reference(&record(&layer), &|tensors| dense(tensors, exact));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |terms, relative: &[usize]| {
        let (_, layer) = layer(apart, terms, Distances::Exact(SPAN));
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, TIME, WIDTH])).unwrap();
        let relative = graph.input("relative", TensorDesc::f32(relative)).unwrap();
        layer.record(&mut graph, x, relative, &Layout::Rows).unwrap_err().to_string()
    };
    assert_eq!(
        refused([false, false], &[12, WIDTH]),
        "attention/blocked: disentangled: expected keys, queries, or both, found neither"
    );
    let error = refused([true, true], &[11, WIDTH]);
    assert!(error.contains("11, 32"), "{error}");
}
