//! The trainer on a small network: interruptions, accumulation, bounds, what overflows, and what is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foveate::ops::optimizer::{AdamW, Sgd};
use foveate::ops::{self, Activation, Dropout, Linear};
use foveate::runtime::Device;
use foveate::train::{
    Description, LossScale, Mode, Optimizer, RecordLoss, STEP, Schedule, Settings, Start, StepReport, Trainer,
};
use foveate::weights::{Checkpoint, Declarations, Weights};
use foveate::{DType, ErrorKind, Graph, HostTensor, Random, Result, TensorDesc, Value};

use crate::support::gpu;

const BATCH: usize = 12;
const WIDTH: usize = 8;

/// Two layers with dropout between them, in `dtype`, towards given targets.
fn record(graph: &mut Graph, mode: Mode, dtype: DType, batch: usize) -> Result<Value> {
    let desc = |shape: &[usize]| TensorDesc::f32(shape);
    let x = graph.input("x", desc(&[batch, WIDTH]))?;
    let target = graph.input("target", desc(&[batch, 3]))?;
    let up = graph.parameter("up", desc(&[2 * WIDTH, WIDTH]))?;
    let bias = graph.parameter("bias", desc(&[2 * WIDTH]))?;
    let down = graph.parameter("down", desc(&[3, 2 * WIDTH]))?;
    let cast = |graph: &mut Graph, x| if dtype == DType::F32 { Ok(x) } else { ops::cast(graph, x, dtype) };
    let [x, up, bias, down] = [x, up, bias, down].map(|x| cast(graph, x).unwrap());
    let mut hidden = ops::linear(graph, x, up, &Linear::new().bias(bias).activation(Activation::Gelu))?;
    if mode == Mode::Train {
        let step = graph.input(STEP, TensorDesc::new(DType::U32, [1]))?;
        hidden = ops::dropout(graph, hidden, &Dropout { rate: 0.25, seed: 5, stream: 0 }, step)?;
    }
    let y = ops::linear(graph, hidden, down, &Linear::new())?;
    let y = if dtype == DType::F32 { y } else { ops::cast(graph, y, DType::F32)? };
    ops::mean_squared_error(graph, y, target)
}

fn declarations() -> Declarations {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    for (name, shape) in [("up", &[2 * WIDTH, WIDTH][..]), ("bias", &[2 * WIDTH]), ("down", &[3, 2 * WIDTH])]
    {
        root.weight(name, shape).unwrap();
    }
    declarations
}

fn weights() -> BTreeMap<String, HostTensor> {
    Weights::random(&declarations(), DType::F32, 3).unwrap().iter().collect::<Result<_>>().unwrap()
}

/// Inputs and targets of batch `number`; targets are multiplied with `size`.
fn batch(number: u64, batch: usize, size: f32) -> [HostTensor; 2] {
    let mut random = Random::new(number);
    let mut tensor = |shape: [usize; 2], size: f32| {
        let floats = (0..shape[0] * shape[1]).map(|_| size * random.next_f32()).collect();
        HostTensor::f32(shape, floats).unwrap()
    };
    [tensor([batch, WIDTH], 1.0), tensor([batch, 3], size)]
}

fn adamw() -> Settings {
    let schedule = Schedule { peak: 0.02, warm_up: 3, total: 20, ..Schedule::constant(0.02) };
    Settings { max_norm: Some(0.5), ..Settings::new(Optimizer::AdamW(AdamW::default()), schedule) }
}

fn sgd() -> Settings {
    let settings = Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true };
    Settings::new(Optimizer::Sgd(settings), Schedule::constant(0.05))
}

fn description(model: &str) -> Description {
    Description { model: model.into(), ..Description::default() }
}

fn trainer(
    device: &Device,
    start: Start<'_>,
    settings: Settings,
    dtype: DType,
    rows: usize,
) -> Result<Trainer> {
    let loss = |graph: &mut Graph, mode: Mode| record(graph, mode, dtype, rows);
    Trainer::new(device, &declarations(), &loss, start, description("small"), settings)
}

/// One step on as many batches as the settings want.
fn step(trainer: &mut Trainer, settings: &Settings, size: f32, rows: usize) -> Result<StepReport> {
    let first = trainer.step_count() * settings.accumulate as u64;
    let batches: Vec<[HostTensor; 2]> =
        (0..settings.accumulate as u64).map(|i| batch(first + i, rows, size)).collect();
    let named: Vec<[(&str, &HostTensor); 2]> =
        batches.iter().map(|[x, y]| [("x", x), ("target", y)]).collect();
    trainer.step(&named.iter().map(|batch| &batch[..]).collect::<Vec<_>>())
}

fn contents(trainer: &Trainer) -> Vec<(String, HostTensor)> {
    trainer.names().map(|name| (name.to_owned(), trainer.read(name).unwrap())).collect()
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn goes_on_bit_for_bit(device: &Device, settings: Settings, dtype: DType, name: &str) {
    let (weights, path) = (weights(), scratch(&format!("{name}.safetensors")));
    let start = Start::Weights(&weights);
    let mut whole = trainer(device, start, settings, dtype, BATCH).unwrap();
    let whole_reports: Vec<StepReport> =
        (0..7).map(|_| step(&mut whole, &settings, 1.0, BATCH).unwrap()).collect();
    assert_ne!(whole.read("up").unwrap(), weights["up"], "{name}");

    let mut first = trainer(device, start, settings, dtype, BATCH).unwrap();
    for _ in 0..3 {
        step(&mut first, &settings, 1.0, BATCH).unwrap();
    }
    first.save(&path).unwrap();
    drop(first);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut second = trainer(device, Start::Checkpoint(&checkpoint), settings, dtype, BATCH).unwrap();
    assert_eq!(second.step_count(), 3);
    for expected in &whole_reports[3..] {
        assert_eq!(step(&mut second, &settings, 1.0, BATCH).unwrap(), *expected, "{name}");
    }
    assert_eq!(contents(&second), contents(&whole), "{name}");
}

#[test]
fn an_interrupted_training_goes_on_bit_for_bit() {
    let accumulating = Settings { accumulate: 2, ..adamw() };
    let scaled = Settings { loss_scale: LossScale::Dynamic { start: 1024.0, patience: 2 }, ..adamw() };
    for (name, device) in [("gpu", gpu()), ("cpu", Device::Cpu)] {
        goes_on_bit_for_bit(&device, adamw(), DType::F32, &format!("adamw-{name}"));
        goes_on_bit_for_bit(&device, sgd(), DType::F32, &format!("sgd-{name}"));
        goes_on_bit_for_bit(&device, accumulating, DType::F32, &format!("accumulated-{name}"));
        if device.stores(DType::F16) {
            goes_on_bit_for_bit(&device, scaled, DType::F16, &format!("f16-{name}"));
        }
    }
}

#[test]
fn devices_and_references_take_the_same_steps() {
    let weights = weights();
    let mut trainers = [gpu(), Device::Cpu]
        .map(|device| trainer(&device, Start::Weights(&weights), adamw(), DType::F32, BATCH).unwrap());
    for _ in 0..10 {
        let [gpu, cpu] = [0, 1].map(|i| step(&mut trainers[i], &adamw(), 1.0, BATCH).unwrap());
        assert!((gpu.loss / cpu.loss - 1.0).abs() < 1e-4, "{} and {}", gpu.loss, cpu.loss);
        let [gpu, cpu] = [gpu.norm, cpu.norm].map(Option::unwrap);
        assert!((gpu / cpu - 1.0).abs() < 1e-3, "{gpu} and {cpu}");
    }
}

#[test]
fn batches_that_add_up_make_the_step_of_one_batch() {
    // Without dropout, which would differ between the rows.
    let loss = |rows| move |graph: &mut Graph, _: Mode| record(graph, Mode::Evaluate, DType::F32, rows);
    let weights = weights();
    let build = |rows: usize, settings| {
        let start = Start::Weights(&weights);
        Trainer::new(&gpu(), &declarations(), &loss(rows), start, description("small"), settings).unwrap()
    };
    let several = Settings { accumulate: 3, ..adamw() };
    let (mut small, mut large) = (build(4, several), build(12, adamw()));
    for number in 0..4 {
        let [x, y] = batch(number, 12, 1.0);
        let part = |tensor: &HostTensor, width: usize, i: usize| {
            HostTensor::f32([4, width], tensor.to_f32()[4 * width * i..][..4 * width].to_vec()).unwrap()
        };
        let parts = [0, 1, 2].map(|i| [part(&x, WIDTH, i), part(&y, 3, i)]);
        let named = parts.each_ref().map(|[x, y]| [("x", x), ("target", y)]);
        let one = large.step(&[&[("x", &x), ("target", &y)]]).unwrap();
        let three = small.step(&named.each_ref().map(|batch| &batch[..])).unwrap();
        assert!((one.loss / three.loss - 1.0).abs() < 1e-5);
        assert!((one.norm.unwrap() / three.norm.unwrap() - 1.0).abs() < 1e-4);
    }
    for ((name, small), (_, large)) in contents(&small).iter().zip(contents(&large)) {
        assert!(small.to_f32().iter().all(|x| x.is_finite()), "{name}: a NaN would vanish in a maximum");
        let off = small.to_f32().iter().zip(large.to_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{name}: {off}");
    }
    let error = small.step(&[]).unwrap_err();
    assert_eq!(error.to_string(), "train: batches: expected 3, found 0");
}

#[test]
fn batches_of_several_sizes_take_the_steps_of_each_size() {
    let weights = weights();
    // Without dropout, so that a step's loss is that of an evaluation.
    let losses =
        [4, 8].map(|rows| move |graph: &mut Graph, _: Mode| record(graph, Mode::Evaluate, DType::F32, rows));
    let records: Vec<&RecordLoss<'_>> = losses.iter().map(|loss| loss as &RecordLoss<'_>).collect();
    let settings = Settings { accumulate: 2, ..adamw() };
    let start = Start::Weights(&weights);
    for device in [gpu(), Device::Cpu] {
        let build = |records: &[&RecordLoss<'_>], settings| {
            Trainer::of_sizes(&device, &declarations(), records, start, description("small"), settings)
                .unwrap()
        };
        let mut fresh = build(&records, adamw());
        for (size, rows) in [4, 8].into_iter().enumerate() {
            // A step of one size is that of a trainer which knows no other.
            let mut alone = build(&records[size..=size], adamw());
            let mut both = build(&records, adamw());
            for _ in 0..2 {
                let [found, expected] =
                    [&mut both, &mut alone].map(|trainer| step(trainer, &adamw(), 1.0, rows).unwrap());
                assert_eq!(found, expected);
            }
            assert_eq!(contents(&both), contents(&alone));
            let [x, y] = batch(9, rows, 1.0);
            let batch = [("x", &x), ("target", &y)];
            assert_eq!(both.evaluate(&batch).unwrap(), alone.evaluate(&batch).unwrap());
        }
        let error = step(&mut fresh, &adamw(), 1.0, 5).unwrap_err();
        assert!(error.to_string().contains('5'), "{error}");
        // One step of two sizes.
        let mut accumulating = build(&records, settings);
        let [few, many] = [batch(0, 4, 1.0), batch(1, 8, 1.0)];
        let [few, many] = [&few, &many].map(|[x, y]| [("x", x), ("target", y)]);
        let report = accumulating.step(&[&few, &many]).unwrap();
        let expected = (fresh.evaluate(&few).unwrap() + fresh.evaluate(&many).unwrap()) / 2.0;
        assert!((report.loss / expected - 1.0).abs() < 1e-5, "{report:?} {expected}");
        assert_ne!(accumulating.read("up").unwrap(), weights["up"]);
    }
    let none = Trainer::of_sizes(&Device::Cpu, &declarations(), &[], start, description("small"), settings);
    assert_eq!(none.unwrap_err().to_string(), "train: records: expected at least one, found 0");
}

#[test]
fn gradients_that_overflow_skip_the_step_and_halve_the_scale() {
    let weights = weights();
    let loss_scale = LossScale::Dynamic { start: 2f32.powi(30), patience: 2 };
    let settings = Settings { loss_scale, max_norm: None, ..adamw() };
    for device in [gpu(), Device::Cpu] {
        if !device.stores(DType::F16) {
            continue;
        }
        let mut trainer = trainer(&device, Start::Weights(&weights), settings, DType::F16, BATCH).unwrap();
        let before = contents(&trainer);
        let report = step(&mut trainer, &settings, 1.0, BATCH).unwrap();
        assert!(report.skipped && report.norm.is_none() && report.loss.is_finite(), "{report:?}");
        assert_eq!(contents(&trainer), before);
        let taken = (0..30).any(|_| !step(&mut trainer, &settings, 1.0, BATCH).unwrap().skipped);
        assert!(taken, "the scale falls until gradients fit");
        assert_ne!(contents(&trainer), before);
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_training_and_spares_the_checkpoint() {
    let weights = weights();
    for (name, device) in [("gpu", gpu()), ("cpu", Device::Cpu)] {
        let path = scratch(&format!("diverging-{name}.safetensors"));
        let mut trainer = trainer(&device, Start::Weights(&weights), sgd(), DType::F32, BATCH).unwrap();
        step(&mut trainer, &sgd(), 1.0, BATCH).unwrap();
        trainer.save(&path).unwrap();
        let saved = std::fs::read(&path).unwrap();
        let error = (0..20).find_map(|_| step(&mut trainer, &sgd(), 1e15, BATCH).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Diverged);
        assert!(error.to_string().starts_with("train: step "), "{error}");
        assert!(error.to_string().contains("expected a finite loss"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), saved);
    }
}

#[test]
fn a_checkpoint_of_another_model_or_none_is_refused() {
    let weights = weights();
    let path = scratch("another.safetensors");
    let trained = trainer(&Device::Cpu, Start::Weights(&weights), adamw(), DType::F32, BATCH).unwrap();
    trained.save(&path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let loss = |graph: &mut Graph, mode: Mode| record(graph, mode, DType::F32, BATCH);
    let start = Start::Checkpoint(&checkpoint);
    let other = Trainer::new(&Device::Cpu, &declarations(), &loss, start, description("other"), adamw());
    let error = other.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().ends_with(r#"model: expected "other", found "small""#), "{error}");

    // The same model under another optimiser lacks its state.
    let error = trainer(&Device::Cpu, start, sgd(), DType::F32, BATCH).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().contains("optimizer.velocity.up"), "{error}");

    let plain = crate::support::fixture("residual.safetensors");
    let error = trainer(&Device::Cpu, Start::Checkpoint(&plain), adamw(), DType::F32, BATCH).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("expected a checkpoint of a training"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused_wherever_it_is_cut() {
    let weights = weights();
    let path = scratch("cut.safetensors");
    trainer(&Device::Cpu, Start::Weights(&weights), adamw(), DType::F32, BATCH).unwrap().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = Checkpoint::from_bytes("cut", bytes[..length].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights, "{length}: {error}");
    }
    let at = bytes.windows(13).position(|window| window == b"\\\"version\\\":1").unwrap();
    let mut newer = bytes;
    newer[at + 12] = b'9';
    let newer = Checkpoint::from_bytes("newer", newer).unwrap();
    let error = trainer(&Device::Cpu, Start::Checkpoint(&newer), adamw(), DType::F32, BATCH).unwrap_err();
    assert!(error.to_string().contains("expected version 1, found version 9"), "{error}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let weights = weights();
    let trainer = trainer(&Device::Cpu, Start::Weights(&weights), adamw(), DType::F32, BATCH).unwrap();
    let error = trainer.save(scratch("no/such/folder/x.safetensors")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    // A half-written file of a killed process is in nobody's way.
    let path = scratch("kept.safetensors");
    trainer.save(&path).unwrap();
    std::fs::write(path.with_file_name("kept.safetensors.unfinished"), b"half").unwrap();
    assert!(Checkpoint::open(&path).is_ok());
    trainer.save(&path).unwrap();
    assert!(!path.with_file_name("kept.safetensors.unfinished").exists());
}

#[test]
fn losses_and_settings_without_a_meaning_are_refused() {
    let weights = weights();
    let start = Start::Weights(&weights);
    let error = |settings| trainer(&Device::Cpu, start, settings, DType::F32, BATCH).unwrap_err().to_string();
    assert_eq!(
        error(Settings { accumulate: 0, ..adamw() }),
        "train: accumulate: expected at least 1, found 0"
    );
    assert_eq!(
        error(Settings { loss_scale: LossScale::Fixed(0.0), ..adamw() }),
        "train: loss_scale: expected a number of at least 1, and patience for at least one step, found 0, 1"
    );
    assert_eq!(
        error(Settings { schedule: Schedule::constant(f32::NAN), ..adamw() }),
        "schedule: peak: expected a learning rate of at least 0, found NaN"
    );
    let many = |graph: &mut Graph, _: Mode| -> Result<Value> {
        record(graph, Mode::Evaluate, DType::F32, BATCH)?;
        graph.parameter("up", TensorDesc::f32([2 * WIDTH, WIDTH]))
    };
    let refused = Trainer::new(&Device::Cpu, &declarations(), &many, start, description("small"), adamw());
    assert_eq!(refused.unwrap_err().to_string(), "gradients: loss: expected one element, found f32 [16, 8]");
    let constant = |graph: &mut Graph, _: Mode| {
        let x = graph.input("x", TensorDesc::f32([1]))?;
        ops::scale(graph, x, 2.0)
    };
    let refused =
        Trainer::new(&Device::Cpu, &declarations(), &constant, start, description("small"), adamw());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "train: loss: expected one that depends on a weight, found 3 weights without influence on it"
    );
}

/// Weights that a loss does not depend on are told of, kept, and saved; all others take the steps that they take without them.
#[test]
fn weights_without_influence_stay_as_they_are() {
    let mut more = declarations();
    more.root().weight("idle", [2]).unwrap();
    let idle = HostTensor::f32([2], vec![3.0, -4.0]).unwrap();
    let mut all = weights();
    all.insert("idle".to_owned(), idle.clone());
    let loss = |graph: &mut Graph, _: Mode| record(graph, Mode::Evaluate, DType::F32, BATCH);
    for (name, device) in [("gpu", gpu()), ("cpu", Device::Cpu)] {
        // Weight decay would shrink it.
        for settings in [adamw(), sgd(), Settings { accumulate: 2, ..adamw() }] {
            let start = |declarations: &Declarations, weights| {
                let start = Start::Weights(weights);
                Trainer::new(&device, declarations, &loss, start, description("small"), settings).unwrap()
            };
            let (mut with, mut without) = (start(&more, &all), start(&declarations(), &weights()));
            assert_eq!((with.unused(), without.unused()), (&["idle".to_owned()][..], &[][..]));
            for _ in 0..3 {
                let reports =
                    [&mut with, &mut without].map(|trainer| step(trainer, &settings, 1.0, BATCH).unwrap());
                assert_eq!(reports[0], reports[1], "{name}");
            }
            assert_eq!(with.read("idle").unwrap(), idle, "{name}");
            assert_eq!(with.read("up").unwrap(), without.read("up").unwrap(), "{name}");
            assert!(with.names().all(|name| name == "idle" || !name.contains("idle")));
            let path = scratch(&format!("idle-{name}.safetensors"));
            with.save(&path).unwrap();
            let checkpoint = Checkpoint::open(&path).unwrap();
            let start = Start::Checkpoint(&checkpoint);
            let again = Trainer::new(&device, &more, &loss, start, description("small"), settings).unwrap();
            assert_eq!(contents(&again), contents(&with), "{name}");
        }
    }
}

/// Eight rows of which five count, in one batch and in two with four and one of these.
#[test]
fn accumulated_batches_weigh_their_targets() {
    let step =
        |device: &Device, rows: usize, settings: Settings, batches: &[(&[f32], &[i32])]| -> (f32, Vec<f32>) {
            let mut declarations = Declarations::new();
            declarations.root().weight("weight", [5, 3]).unwrap();
            let weights = Weights::random(&declarations, DType::F32, 1).unwrap();
            let weights = weights.iter().collect::<Result<_>>().unwrap();
            let loss = |graph: &mut Graph, _: Mode| -> Result<Value> {
                let weight = graph.parameter("weight", TensorDesc::f32([5, 3]))?;
                let x = graph.input("x", TensorDesc::f32([rows, 3]))?;
                let targets = graph.input("targets", TensorDesc::i32([rows]))?;
                let logits = ops::linear(graph, x, weight, &ops::Linear::new())?;
                ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())
            };
            let settings = Settings { accumulate: batches.len(), ..settings };
            let start = Start::Weights(&weights);
            let mut trainer =
                Trainer::new(device, &declarations, &loss, start, Description::default(), settings).unwrap();
            let tensors: Vec<(HostTensor, HostTensor)> = batches
                .iter()
                .map(|(x, targets)| {
                    let x = HostTensor::f32([rows, 3], x.to_vec()).unwrap();
                    (x, HostTensor::i32([rows], targets.to_vec()).unwrap())
                })
                .collect();
            let named: Vec<[(&str, &HostTensor); 2]> =
                tensors.iter().map(|(x, targets)| [("x", x), ("targets", targets)]).collect();
            let named: Vec<&foveate::train::Batch<'_>> = named.iter().map(|inputs| &inputs[..]).collect();
            let loss = trainer.step(&named).unwrap().loss;
            (loss, trainer.read("weight").unwrap().to_f32())
        };
    let x: Vec<f32> = (0..24).map(|i| ((i * 7 + 3) as f32).sin()).collect();
    let targets = [0, 1, 2, 3, 4, -100, -100, -100];
    let sgd = Optimizer::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let plain = Settings::new(sgd, Schedule::constant(1.0));
    let scaled = Settings { max_norm: Some(0.1), loss_scale: LossScale::Fixed(64.0), ..plain };
    for device in [gpu(), Device::Cpu] {
        for settings in [plain, scaled] {
            let (whole_loss, whole) = step(&device, 8, settings, &[(&x, &targets)]);
            let parts: [(&[f32], &[i32]); 2] = [(&x[..12], &targets[..4]), (&x[12..], &targets[4..])];
            let (loss, halves) = step(&device, 4, settings, &parts);
            assert!((whole_loss - loss).abs() < 1e-5, "{whole_loss} {loss}");
            assert!(whole.iter().zip(&halves).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {halves:?}");
        }
    }
}
