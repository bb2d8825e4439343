//! Dynamic convolutions whose kernels sum to 1 at the ends of sequences, too: in batches as of each sequence alone.

use foveate::nn::{DynamicConv, Layout, Recorder, TapKernel};
use foveate::weights::{Declarations, Weights};
use foveate::{DType, Graph, HostTensor, Random, Result, TensorDesc, cpu};

use super::WIDTH;

const HEADS: usize = 2;
const TAPS: usize = 5;
const LENGTHS: [usize; 2] = [3, 6];

fn layer(before: usize) -> (DynamicConv, Weights) {
    let mut declarations = Declarations::new();
    let kernel = TapKernel { heads: HEADS, taps: TAPS, before, drops_taps: false };
    let layer = DynamicConv::declare(&mut declarations.root().at("conv"), WIDTH, kernel).unwrap();
    (layer.renormalised(), Weights::random(&declarations, DType::F32, 3).unwrap())
}

/// Results and kernels of `rows: [batch, time, WIDTH]`, side by side for each position.
fn run(
    (layer, weights): &(DynamicConv, Weights),
    rows: &[f32],
    shape: [usize; 2],
    lies: impl Fn(&mut Graph) -> Result<(Layout, Option<HostTensor>)>,
) -> Vec<Vec<f32>> {
    let mut graph = Graph::new();
    let dims = [shape[0], shape[1], WIDTH];
    let x = graph.input("x", TensorDesc::f32(dims)).unwrap();
    let (layout, told) = lies(&mut graph).unwrap();
    let mut recorder = Recorder::new(&mut graph, DType::F32);
    let y = layer.record(&mut recorder, x, &layout).unwrap();
    let kernels = layer.record_kernels(&mut recorder, x, &layout).unwrap();
    graph.output("y", y).unwrap();
    graph.output("kernels", kernels).unwrap();
    let x = HostTensor::f32(dims, rows.to_vec()).unwrap();
    let inputs: Vec<_> = [("x", &x)].into_iter().chain(told.as_ref().map(|told| ("told", told))).collect();
    let parameters = cpu::Parameters::new(weights.iter()).unwrap();
    let outputs = cpu::run_with(&graph, &parameters, &inputs).unwrap();
    let (y, kernels) = (outputs["y"].to_f32(), outputs["kernels"].to_f32());
    y.chunks(WIDTH).zip(kernels.chunks(HEADS * TAPS)).map(|(y, kernels)| [y, kernels].concat()).collect()
}

#[test]
fn taps_beyond_the_ends_of_a_sequence_are_left_out_of_the_softmax_in_every_layout() {
    let mut random = Random::new(4);
    let texts = LENGTHS.map(|length| (0..length * WIDTH).map(|_| random.next_f32()).collect::<Vec<f32>>());
    for before in [TAPS - 1, TAPS / 2] {
        let layer = layer(before);
        let rows = |_: &mut Graph| Ok((Layout::Rows, None));
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .zip(LENGTHS)
            .flat_map(|(text, length)| run(&layer, text, [1, length], rows))
            .collect();
        for position in &alone {
            let sums = position[WIDTH..].chunks(TAPS).map(|kernel| kernel.iter().sum::<f32>());
            sums.for_each(|sum| assert!((sum - 1.0).abs() < 1e-5, "{sum}"));
        }
        // The first position of a causal kernel reads itself alone.
        assert!(before + 1 < TAPS || (alone[0][WIDTH + TAPS - 1] - 1.0).abs() < 1e-5);

        let packed = run(&layer, &texts.concat(), [1, 9], |graph| {
            let segments = graph.input("told", TensorDesc::i32([1, 9]))?;
            let told = HostTensor::i32([1, 9], vec![0, 0, 0, 1, 1, 1, 1, 1, 1])?;
            Ok((Layout::Packed { segments, count: 2 }, Some(told)))
        });
        let mut short = texts[0].clone();
        short.resize(6 * WIDTH, 0.5);
        let padded = run(&layer, &[short, texts[1].clone()].concat(), [2, 6], |graph| {
            let lengths = graph.input("told", TensorDesc::i32([2]))?;
            Ok((Layout::Padded { lengths }, Some(HostTensor::i32([2], vec![3, 6])?)))
        });
        let tokens = [&padded[..3], &padded[6..]].concat();
        for (layout, found) in [("packed", packed), ("padded", tokens)] {
            for (place, (found, alone)) in found.iter().zip(&alone).enumerate() {
                for (found, expected) in found.iter().zip(alone) {
                    let near = (found - expected).abs() < 1e-5;
                    assert!(near, "{layout}, {before} before, place {place}: {found} for {expected}");
                }
            }
        }
    }
}
