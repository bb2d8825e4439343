use foveate::nn::{TransformerXl, TransformerXlAttention, sinusoidal_positions};
use foveate::weights::Declarations;
use foveate::{DType, Graph, HostTensor, TensorDesc};

use super::dense::{Pair, attend, dot, head, joined, linear, product};
use super::support::{Tensors, Trial, Values, assert_causal, assert_near, positions, random};
use super::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

const SPEC: TransformerXl =
    TransformerXl { width: WIDTH, heads: HEADS, head_size: HEAD_SIZE, same_length: None };
const MEMORY: usize = 9;

fn layer(spec: TransformerXl) -> (Declarations, TransformerXlAttention) {
    let mut declarations = Declarations::new();
    let layer = TransformerXlAttention::declare(&mut declarations.root(), spec).unwrap();
    (declarations, layer)
}

fn inputs(memory: usize) -> Vec<(&'static str, HostTensor)> {
    let mut inputs = vec![
        ("x", random("x", &[BATCH, TIME, WIDTH], 1.0)),
        ("positions", sinusoidal_positions(DType::F32, TIME + memory, WIDTH, None).unwrap()),
    ];
    if memory > 0 {
        inputs.push(("memory", random("memory", &[BATCH, memory, WIDTH], 1.0)));
    }
    inputs
}

/// `RelPartialLearnableMultiHeadAttn.forward`: the terms `AC` and `BD`, where `BD` is read at each pair's distance instead of shifted.
fn dense(tensors: &Tensors, memory: usize, same_length: usize) -> Vec<f64> {
    let none = Vec::new();
    let seen = joined(tensors.get("memory").unwrap_or(&none), &tensors["x"], BATCH);
    let thirds: Vec<&[f64]> = tensors["qkv_net.weight"].chunks(WIDTH * WIDTH).collect();
    let query = product(&tensors["x"], thirds[0], None, WIDTH);
    let [key, value] = [1, 2].map(|third| product(&seen, thirds[third], None, WIDTH));
    let r = linear(&tensors["positions"], tensors, "r_net", WIDTH);
    let plus = |query: &[f64], bias: &str, of: usize| -> Vec<f64> {
        let bias = &tensors[bias][of * HEAD_SIZE..(of + 1) * HEAD_SIZE];
        query.iter().zip(bias).map(|(q, b)| q + b).collect()
    };
    let key_time = TIME + memory;
    let gathered = attend([BATCH, TIME, key_time], &value, |Pair { batch, head: of, query: i, key: j }| {
        if j > i + memory || i + memory - j >= same_length {
            return (0.0, 0.0);
        }
        let q = head(&query, TIME, batch, i, of);
        let content = dot(&plus(q, "r_w_bias", of), head(&key, key_time, batch, j, of));
        let position = dot(&plus(q, "r_r_bias", of), head(&r, 0, 0, i + memory - j, of));
        ((content + position) / (HEAD_SIZE as f64).sqrt(), 1.0)
    });
    linear(&gathered, tensors, "o_net", WIDTH)
}

fn with_memory(
    graph: &mut Graph,
    values: &Values,
    layer: &TransformerXlAttention,
) -> foveate::Result<foveate::Value> {
    layer.record(graph, values["x"], values.get("memory").copied(), values["positions"])
}

/// Gradients hold although memory gets none: the dense computation keeps it fixed.
#[test]
fn equals_the_authors_terms_with_memory() {
    let spec = TransformerXl { same_length: Some(14), ..SPEC };
    let (declarations, layer) = layer(spec);
    let trial = Trial::new(&declarations, &inputs(MEMORY)).constant("memory");
    trial.check(&|graph, values| with_memory(graph, values, &layer), &|tensors| dense(tensors, MEMORY, 14));
}

#[test]
fn memory_may_be_absent_or_short() {
    let (declarations, layer) = layer(SPEC);
    for memory in [0, 1] {
        let trial = Trial::new(&declarations, &inputs(memory));
        let record = |graph: &mut Graph, values: &Values| with_memory(graph, values, &layer);
        trial.check_reference(&record, &|tensors| dense(tensors, memory, usize::MAX));
        assert_causal(trial, &record);
    }
}

#[test]
fn with_memory_it_goes_on_as_in_one_pass() {
    for same_length in [None, Some(7)] {
        let (declarations, layer) = layer(TransformerXl { same_length, ..SPEC });
        let record = |graph: &mut Graph, values: &Values| with_memory(graph, values, &layer);
        let split = inputs(MEMORY);
        let found = Trial::new(&declarations, &split).run(&record);
        let all = joined(&split[2].1.to_f64(), &split[0].1.to_f64(), BATCH);
        let all = HostTensor::f32([BATCH, MEMORY + TIME, WIDTH], all.iter().map(|x| *x as f32).collect());
        let whole = [("x", all.unwrap()), split[1].clone()];
        let expected = Trial::new(&declarations, &whole).run(&record);
        assert_near("segments", &found.to_f64(), &positions(&expected, MEMORY..MEMORY + TIME), 1e-6);
    }
}

/// Only rows of distances that are seen are read, so that a table as long as the window will do.
#[test]
fn a_window_needs_as_many_positions() {
    let (_, layer) = layer(TransformerXl { same_length: Some(14), ..SPEC });
    let record = |rows: usize| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([BATCH, TIME, WIDTH])).unwrap();
        let positions = graph.input("positions", TensorDesc::f32([rows, WIDTH])).unwrap();
        layer.record(&mut graph, x, None, positions).map_err(|error| error.to_string())
    };
    assert!(record(14).is_ok());
    assert_eq!(
        record(13).unwrap_err(),
        "attention/blocked: relative_keys.keys: expected a row for every distance that the mask shows, 0 to 13, \
         found 13 rows, from distance 0 on"
    );
}

#[test]
fn positions_are_sines_and_behind_them_cosines() {
    let table = sinusoidal_positions(DType::F32, 4, 6, Some(2)).unwrap();
    let row = |distance: f64| {
        let angles = [1.0, 10000f64.powf(-1.0 / 3.0), 10000f64.powf(-2.0 / 3.0)].map(|f| f * distance);
        [angles.map(f64::sin), angles.map(f64::cos)].concat()
    };
    assert_near("table", &table.to_f64(), &[row(0.0), row(1.0), row(2.0), row(2.0)].concat(), 1e-7);
    let error = sinusoidal_positions(DType::F32, 4, 5, None).unwrap_err();
    assert_eq!(error.to_string(), "sinusoidal positions: width: expected an even number, found 5");
}

#[test]
fn wrong_settings_are_refused() {
    let declare = |spec| {
        TransformerXlAttention::declare(&mut Declarations::new().root(), spec).unwrap_err().to_string()
    };
    assert_eq!(
        declare(TransformerXl { heads: 0, ..SPEC }),
        "self-attention: heads: expected 1 to 2^30 channels in all, found 0 heads of 8"
    );
    assert_eq!(
        declare(TransformerXl { same_length: Some(0), ..SPEC }),
        "self-attention: same_length: expected at least 1, found 0"
    );
    let (_, layer) = layer(SPEC);
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([BATCH, TIME, WIDTH])).unwrap();
    let memory = graph.input("memory", TensorDesc::f32([BATCH, 3, 16])).unwrap();
    let positions = graph.input("positions", TensorDesc::f32([TIME + 3, WIDTH])).unwrap();
    let error = layer.record(&mut graph, x, Some(memory), positions).unwrap_err();
    assert_eq!(
        error.to_string(),
        "self-attention: memory: expected f32 [2, any, 32] as x has it, found f32 [2, 3, 16]"
    );
}
