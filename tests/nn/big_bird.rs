use foveate::nn::BigBirdAttention;
use foveate::ops::attention::BigBird;
use foveate::weights::Declarations;
use foveate::{Graph, HostTensor, TensorDesc};

use super::dense::{Pair, self_attention};
use super::support::{Trial, Values, disturbed, positions, random};
use super::{BATCH, HEADS, TIME, WIDTH};

const NAMES: [&str; 4] = ["self.query", "self.key", "self.value", "output.dense"];
const LENGTHS: [usize; BATCH] = [TIME, 19];
const SPEC: BigBird =
    BigBird { block_size: 3, window_blocks: 3, global_blocks: 1, random_blocks: 2, seed: 5 };
const BLOCKS: usize = TIME / 3;

fn layer(spec: BigBird) -> (Trial, BigBirdAttention) {
    let mut declarations = Declarations::new();
    let layer = BigBirdAttention::declare(&mut declarations.root(), WIDTH, HEADS, spec).unwrap();
    let inputs = [
        ("x", random("x", &[BATCH, TIME, WIDTH], 1.0)),
        ("lengths", HostTensor::i32([BATCH], LENGTHS.map(|length| length as i32).to_vec()).unwrap()),
    ];
    (Trial::new(&declarations, &inputs), layer)
}

/// Which blocks a block sees beyond those that the paper fixes is the layout's to draw; how many, and that no other is missing, is not.
fn blocks() -> Vec<Vec<Vec<bool>>> {
    let layout = SPEC.layout(HEADS, TIME).unwrap();
    let is_fixed = |query: usize, key: usize| {
        let is_global = |block: usize| block == 0 || block == BLOCKS - 1;
        query.abs_diff(key) <= 1 || is_global(query) || is_global(key)
    };
    let row = |head, query: usize| {
        let row: Vec<bool> =
            (0..BLOCKS).map(|key| is_fixed(query, key) || layout.meets(head, query, key)).collect();
        let drawn = (0..BLOCKS).filter(|&key| row[key] && !is_fixed(query, key)).count();
        let left = (0..BLOCKS).filter(|&key| !is_fixed(query, key)).count();
        assert_eq!(drawn, left.min(SPEC.random_blocks as usize));
        row
    };
    (0..HEADS).map(|head| (0..BLOCKS).map(|query| row(head, query)).collect()).collect()
}

#[test]
fn equals_dense_attention_over_its_blocks() {
    let (trial, layer) = layer(SPEC);
    let blocks = blocks();
    let sees =
        |Pair { batch, head, query, key }: Pair| key < LENGTHS[batch] && blocks[head][query / 3][key / 3];
    let record =
        |graph: &mut Graph, values: &Values| layer.record(graph, values["x"], Some(values["lengths"]));
    trial.check(&record, &|tensors| self_attention(tensors, NAMES, [BATCH, TIME], sees));

    let before = positions(&trial.run(&record), 0..19);
    let padded = disturbed(&random("x", &[BATCH, TIME, WIDTH], 1.0), 19);
    let after = positions(&trial.with("x", padded).run(&record), 0..19);
    assert_eq!(before[19 * WIDTH..], after[19 * WIDTH..], "padding is not seen");
    assert_ne!(before[..19 * WIDTH], after[..19 * WIDTH], "what is no padding is");
}

#[test]
fn wrong_settings_are_refused() {
    for (spec, sentence) in [
        (
            BigBird { window_blocks: 2, ..SPEC },
            "attention rule: big_bird.window_blocks: expected an odd number, found 2",
        ),
        (
            BigBird { block_size: 0, ..SPEC },
            "attention rule: big_bird.block_size: expected at least 1, found 0",
        ),
    ] {
        let (_, layer) = layer(spec);
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, TIME, WIDTH])).unwrap();
        assert_eq!(layer.record(&mut graph, x, None).unwrap_err().to_string(), sentence);
    }
}
