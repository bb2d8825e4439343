use foveate::nn::{Layout, LongformerAttention};
use foveate::ops::attention::global_tokens;
use foveate::weights::Declarations;
use foveate::{Graph, HostTensor, Result, TensorDesc, Value};

use super::dense::{attend, linear, score};
use super::support::{Tensors, Trial, Values, assert_near, disturbed, positions, random};
use super::{HEADS, TIME, WIDTH};

const ITEMS: usize = 3;
const LENGTHS: [usize; ITEMS] = [20, 17, TIME];
const HALF_WIDTH: u32 = 3;

/// No global token, some that lie in each other's windows, and all.
fn globals() -> Vec<Vec<usize>> {
    vec![vec![], vec![0, 5, 6, 15], (0..TIME).collect()]
}

fn layer(dilation: Vec<u32>) -> (Declarations, LongformerAttention) {
    let mut declarations = Declarations::new();
    let layer = LongformerAttention::declare(&mut declarations.root(), WIDTH, HEADS, HALF_WIDTH).unwrap();
    (declarations, LongformerAttention { dilation, ..layer })
}

fn trial(declarations: &Declarations, time: usize) -> Trial {
    let lengths = LENGTHS.map(|length| length as i32).to_vec();
    let inputs = [
        ("x", random("x", &[ITEMS, time, WIDTH], 1.0)),
        ("globals", global_tokens(&globals(), TIME).unwrap()),
        ("lengths", HostTensor::i32([ITEMS], lengths).unwrap()),
    ];
    Trial::new(declarations, &inputs)
}

fn record(layer: &LongformerAttention) -> impl Fn(&mut Graph, &Values) -> Result<Value> {
    let layer = layer.clone();
    move |graph, values| {
        let layout = Layout::Padded { lengths: values["lengths"] };
        layer.record(graph, values["x"], Some(values["globals"]), &layout)
    }
}

/// Row by row, as the paper says it: one softmax for each query.
fn dense(tensors: &Tensors, dilation: &[u32]) -> Vec<f64> {
    let project = |name| linear(&tensors["x"], tensors, name, WIDTH);
    let [q, k, v] = ["self.query", "self.key", "self.value"].map(project);
    let [global_q, global_k, global_v] =
        ["self.query_global", "self.key_global", "self.value_global"].map(project);
    let extents = [ITEMS, TIME, TIME];
    let is_global: Vec<Vec<bool>> = globals()
        .iter()
        .map(|globals| (0..TIME).map(|position| globals.contains(&position)).collect())
        .collect();
    let local = attend(extents, &v, |pair| {
        let dilation = dilation[pair.head % dilation.len()] as usize;
        let distance = pair.query.abs_diff(pair.key);
        let in_window = distance.is_multiple_of(dilation) && distance / dilation <= HALF_WIDTH as usize;
        let sees = pair.key < LENGTHS[pair.batch] && (in_window || is_global[pair.batch][pair.key]);
        (score(&q, &k, [TIME; 2], pair), f64::from(u8::from(sees)))
    });
    let global = attend(extents, &global_v, |pair| {
        let sees = pair.key < LENGTHS[pair.batch];
        (score(&global_q, &global_k, [TIME; 2], pair), f64::from(u8::from(sees)))
    });
    let rows = local.chunks(WIDTH).zip(global.chunks(WIDTH)).enumerate();
    let chosen =
        rows.flat_map(
            |(row, (local, global))| {
                if is_global[row / TIME][row % TIME] { global.to_vec() } else { local.to_vec() }
            },
        );
    linear(&chosen.collect::<Vec<_>>(), tensors, "output.dense", WIDTH)
}

#[test]
fn equals_one_softmax_for_each_row() {
    let (declarations, layer) = layer(vec![1]);
    trial(&declarations, TIME).check(&record(&layer), &|tensors| dense(tensors, &[1]));
}

#[test]
fn heads_have_dilations_of_their_own() {
    let dilation = [1, 2, 4, 3];
    let (declarations, layer) = layer(dilation.to_vec());
    trial(&declarations, TIME).check_reference(&record(&layer), &|tensors| dense(tensors, &dilation));
}

#[test]
fn no_globals_are_none_at_all() {
    let (declarations, layer) = layer(vec![1]);
    let none = global_tokens(&[vec![], vec![], vec![]], TIME).unwrap();
    let trial = trial(&declarations, TIME).with("globals", none);
    let without = trial.run(&|graph: &mut Graph, values: &Values| {
        layer.record(graph, values["x"], None, &Layout::Padded { lengths: values["lengths"] })
    });
    assert_eq!(trial.run(&record(&layer)), without);
}

#[test]
fn padding_changes_nothing() {
    let (declarations, layer) = layer(vec![1]);
    let short = trial(&declarations, TIME);
    let expected = short.run(&record(&layer));
    // More of it, with other numbers in it.
    let longer = TIME + 7;
    let x = random("x", &[ITEMS, TIME, WIDTH], 1.0).to_f32();
    let rows = x.chunks(TIME * WIDTH).flat_map(|item| [item, &[3.0; 7 * WIDTH]].concat());
    let x = HostTensor::f32([ITEMS, longer, WIDTH], rows.collect()).unwrap();
    let found = trial(&declarations, longer).with("x", x).run(&record(&layer));
    assert_near("longer", &positions(&found, 0..17), &positions(&expected, 0..17), 1e-6);
    let x = disturbed(&random("x", &[ITEMS, TIME, WIDTH], 1.0), 20);
    let found = trial(&declarations, TIME).with("x", x).run(&record(&layer));
    assert_eq!(positions(&found, 0..17)[..2 * 17 * WIDTH], positions(&expected, 0..17)[..2 * 17 * WIDTH]);
}

#[test]
fn wrong_settings_are_refused() {
    let refused = |layer: &LongformerAttention, desc: TensorDesc| {
        let mut graph = Graph::new();
        let x = graph.input("x", desc).unwrap();
        layer.record(&mut graph, x, None, &Layout::Rows).unwrap_err().to_string()
    };
    let desc = TensorDesc::f32([1, TIME, WIDTH]);
    let (_, two) = layer(vec![1, 2]);
    assert_eq!(
        refused(&two, desc.clone()),
        "attention/blocked: dilation: expected one, or one for each of 4 heads, found 2"
    );
    let (_, zero) = layer(vec![0]);
    assert_eq!(refused(&zero, desc), "attention rule: dilation: expected at least 1, found 0");
    let (_, fine) = layer(vec![1]);
    assert_eq!(
        refused(&fine, TensorDesc::f32([TIME, WIDTH])),
        "self-attention: x: expected [batch, time, width], found f32 [24, 32]"
    );
    let error = LongformerAttention::declare(&mut Declarations::new().root(), WIDTH, 5, 1).unwrap_err();
    assert_eq!(error.to_string(), "self-attention: heads: expected a divisor of the width, 32, found 5");
}
