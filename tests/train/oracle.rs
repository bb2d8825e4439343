//! Gradients and losses of a byte-level language model that PyTorch trained for 20 steps.

use foveate::models::Model;
use foveate::nn::Training;
use foveate::ops::optimizer::AdamW;
use foveate::runtime::Device;
use foveate::train::{Description, Optimizer, Schedule, Settings, Start, Trainer, language_loss};
use foveate::weights::{Checkpoint, Declarations};
use foveate::{DType, Graph, HostTensor, Result, Value};

use crate::support::{fixture, gpu, loss_of, oracle_model, outputs_of, tensor};

const BATCH: usize = 4;
const TIME: usize = 128;

/// Inputs and targets of a step.
fn batch(checkpoint: &Checkpoint, step: usize) -> (HostTensor, HostTensor) {
    let tokens = tensor(checkpoint, "tokens").to_f32();
    let rows = &tokens[step * BATCH * (TIME + 1)..][..BATCH * (TIME + 1)];
    let part = |from: usize| {
        let ids = rows.chunks(TIME + 1).flat_map(|row| &row[from..from + TIME]).map(|&id| id as i32);
        HostTensor::i32([BATCH, TIME], ids.collect()).unwrap()
    };
    (part(0), part(1))
}

/// The weights that the oracle started from, under the model's own names.
fn initial(checkpoint: &Checkpoint, declarations: &Declarations) -> Vec<(String, HostTensor)> {
    let named = |name: &str| (name.to_owned(), tensor(checkpoint, &format!("init.{name}")));
    declarations.list().iter().map(|declaration| named(&declaration.name)).collect()
}

/// Loss and gradients of step 0.
fn first_gradients(device: &Device, model: &Model, checkpoint: &Checkpoint, recompute: usize) {
    let mut graph = Graph::new();
    let training = Training { recompute, ..Training::default() };
    let loss = language_loss(&mut graph, model, [BATCH, TIME], DType::F32, training).unwrap();
    let weights = graph.parameters().to_vec();
    assert_eq!(weights.len(), model.declarations().list().len());
    let values: Vec<Value> = weights.iter().map(|(_, value)| *value).collect();
    let gradients = graph.gradients(loss, &values).unwrap();
    for ((name, _), gradient) in weights.iter().zip(gradients) {
        graph.output(&format!("grad.{name}"), gradient).unwrap();
    }
    let (ids, targets) = batch(checkpoint, 0);
    let inputs = [("ids", &ids), ("targets", &targets)];
    let start = initial(checkpoint, model.declarations()).into_iter().map(Ok);
    let outputs = outputs_of(device, &graph.into(), start, &inputs);
    let mut worst = 0.0f32;
    for (name, found) in &outputs {
        let (found, expected) = (found.to_f32(), tensor(checkpoint, name).to_f32());
        let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        // A NaN would vanish in a maximum.
        assert!(found.iter().all(|x| x.is_finite()), "{name}");
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
        assert!(off <= 1e-4, "{name}: {off:e} of the largest");
        worst = worst.max(off);
    }
    println!("gradients at most {worst:e} of their tensor's largest off");
}

/// The losses of 20 steps of AdamW.
fn losses(device: &Device, model: &Model, checkpoint: &Checkpoint) -> Result<()> {
    let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(3e-3));
    let loss = loss_of(model, [BATCH, TIME]);
    let weights = initial(checkpoint, model.declarations()).into_iter().collect();
    let start = Start::Weights(&weights);
    let description = Description::default();
    let mut trainer = Trainer::new(device, model.declarations(), &loss, start, description, settings)?;
    let mut worst = 0.0f32;
    for (step, expected) in tensor(checkpoint, "losses").to_f32().into_iter().enumerate() {
        let (ids, targets) = batch(checkpoint, step);
        let found = trainer.step(&[&[("ids", &ids), ("targets", &targets)]])?.loss;
        let off = (found / expected - 1.0).abs();
        assert!(off <= 1e-3, "step {step}: {found} for {expected}");
        worst = worst.max(off);
    }
    println!("losses at most {worst:e} off");
    Ok(())
}

fn holds(device: &Device, reversible: bool) {
    let checkpoint = fixture(if reversible { "reversible.safetensors" } else { "residual.safetensors" });
    let model = oracle_model(reversible);
    first_gradients(device, &model, &checkpoint, 0);
    if !reversible {
        first_gradients(device, &model, &checkpoint, 2);
    }
    losses(device, &model, &checkpoint).unwrap();
}

#[test]
fn residual_layers_train_as_in_pytorch_on_the_device() {
    holds(&gpu(), false);
}

#[test]
fn residual_layers_train_as_in_pytorch_on_the_references() {
    holds(&Device::Cpu, false);
}

#[test]
fn reversible_layers_train_as_in_pytorch_on_the_device() {
    holds(&gpu(), true);
}

#[test]
fn reversible_layers_train_as_in_pytorch_on_the_references() {
    holds(&Device::Cpu, true);
}
