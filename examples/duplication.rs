//! The duplication task of the Reformer's paper (Kitaev, Kaiser and Levskaya, arXiv 2001.04451, section 5 and table 2): of a text `0w0w`, whose `w` are
//! random symbols, the second `w` is to be predicted. One layer of LSH attention is trained with several rounds of hashing, other rotations at each
//! step, and then asked with fewer and with more rounds:
//!
//! ```text
//! cargo run --example duplication [ROUNDS of the training, 4; 0 for full attention] [STEPS]
//! ```
//!
//! The paper has 1024 tokens, 4 heads of 64 channels and 150,000 steps; this one, for ten minutes of a software rasterizer, what stands below. The
//! loss stays at chance, ln 126, for 250 steps, until positions have found one another. Full attention is that of the same layer, with queries
//! that are keys, so that what was learnt with hashing is of use to it; the paper does not say what its full attention shares.

use std::time::Instant;

use foveate::gpu::{AdapterRequest, Context};
use foveate::nn::{
    Embedding, FeedForward, LayerNorm, Layout, Linear, LshAttention, LshBuckets, LshSettings, Mixer,
    Recorder, Residual,
};
use foveate::ops::attention::{Lsh, LshConvention, lsh_rotations};
use foveate::ops::optimizer::AdamW;
use foveate::ops::{self, Activation, CrossEntropy};
use foveate::runtime::{Device, Runner};
use foveate::train::{Decay, Description, Mode, Optimizer, Schedule, Settings, Start, Trainer, random_of};
use foveate::weights::Declarations;
use foveate::{DType, Graph, HostTensor, Random, Result, TensorDesc, Value};

/// Ids of symbols are 1 to 126, as in the paper; 0 stands before each `w`.
const IDS: usize = 127;

/// Tokens of `0w`, and of `0w0w`.
const HALF: usize = 128;
const TIME: usize = 2 * HALF;

const WIDTH: usize = 64;
const HEADS: usize = 4;

/// Slots of a chunk: twice a bucket's mean. A query sees its own chunk and the one before, 32 keys a round.
const CHUNK: usize = 16;

const BATCH: usize = 8;
const RATE: f32 = 0.003;
const SEED: u64 = 7;

/// Texts that each number of rounds is asked about.
const TEXTS: usize = 64;

/// What is drawn from the seed.
const WEIGHTS: u64 = 0;
const TRAINING: u64 = 1;
const TEST: u64 = 2;

/// Accuracies of the paper's table 2, in percent: trained with full attention, or with so many rounds; asked with full attention, 8, 4, 2 and 1.
const PAPER: &[(usize, [f64; 5])] = &[
    (0, [100.0, 94.8, 92.5, 76.9, 52.5]),
    (4, [0.8, 100.0, 99.9, 99.4, 91.9]),
    (2, [0.8, 100.0, 99.9, 98.1, 86.8]),
    (1, [0.8, 99.9, 99.6, 94.8, 77.9]),
];

/// Rounds that the model is asked with; 0 for full attention.
const ASKED: [usize; 5] = [0, 8, 4, 2, 1];

/// One layer between embeddings and symbols. The number of rounds is no weight: models of several read the same ones.
struct Model {
    token: Embedding,
    position: Embedding,
    mixing: Residual,
    attention: LshAttention,
    feeding: Residual,
    feed_forward: FeedForward,
    norm: LayerNorm,
    symbols: Linear,
    rounds: usize,
}

impl Model {
    fn declare(declarations: &mut Declarations, rounds: usize) -> Result<Self> {
        let mut root = declarations.root();
        let norm = |root: &mut foveate::weights::Scope<'_>, name| {
            LayerNorm::declare(&mut root.at(name), WIDTH, 1e-5)
        };
        // A text that fits a chunk is not hashed: every query sees every key before it.
        let lsh = Lsh::new(if rounds == 0 { TIME } else { CHUNK }).causal().deduplicated();
        let settings = LshSettings {
            heads: HEADS,
            head_size: WIDTH / HEADS,
            rounds,
            lsh: lsh.convention(LshConvention::Stop),
            buckets: LshBuckets::Given(vec![TIME / (CHUNK / 2)]),
            seed: SEED,
            number: 0,
        };
        let names = ["query_key", "value", "output"];
        Ok(Self {
            token: Embedding::declare(&mut root.at("token"), IDS, WIDTH)?,
            position: Embedding::declare(&mut root.at("position"), TIME, WIDTH)?,
            mixing: Residual::before(norm(&mut root, "norm1")?),
            attention: LshAttention::declare(&mut root, names, WIDTH, settings)?,
            feeding: Residual::before(norm(&mut root, "norm2")?),
            feed_forward: FeedForward::declare(&mut root, ["up", "down"], [WIDTH; 2], Activation::Relu)?,
            norm: norm(&mut root, "norm")?,
            symbols: Linear::declare(&mut root.at("symbols"), WIDTH, IDS)?,
            rounds,
        })
    }

    /// Scores of the token that follows each: `[batch, time, ids]`.
    fn record(&self, graph: &mut Graph, batch: usize) -> Result<Value> {
        let ids = graph.input("ids", TensorDesc::i32([batch, TIME]))?;
        let places = (0..batch * TIME).map(|at| (at % TIME) as i32).collect();
        let places = ops::constant(graph, HostTensor::i32([batch, TIME], places)?)?;
        let mut draws = Vec::new();
        if self.rounds > 0 {
            let rotations = graph.input("rotations", self.rotations(SEED)?.desc())?;
            draws.push(("rotation.0".to_owned(), rotations));
        }
        let recorder = &mut Recorder::new(graph, DType::F32).with_draws(draws);
        let x = Embedding::record_sum(recorder, &[(&self.token, ids), (&self.position, places)], DType::F32)?;
        let x = self
            .mixing
            .record(recorder, x, |recorder, x| self.attention.record(recorder, x, None, &Layout::Rows))?;
        let x = self.feeding.record(recorder, x, |recorder, x| self.feed_forward.record(recorder, x))?;
        let x = self.norm.record(recorder, x, None)?;
        self.symbols.record(recorder, x, Activation::Identity)
    }

    /// The mean cross-entropy of the second `w`.
    fn loss(&self, graph: &mut Graph) -> Result<Value> {
        let logits = self.record(graph, BATCH)?;
        let targets = graph.input("targets", TensorDesc::i32([BATCH, TIME]))?;
        ops::cross_entropy(graph, logits, targets, &CrossEntropy::new())
    }

    fn rotations(&self, seed: u64) -> Result<HostTensor> {
        lsh_rotations([HEADS, WIDTH / HEADS, self.rounds], &[TIME / (CHUNK / 2)], seed)
    }

    /// A batch, and rotations of its own, as inputs.
    fn inputs(&self, random: &mut Random, batch: usize) -> Result<Vec<(&'static str, HostTensor)>> {
        let texts = Texts::draw(random, batch);
        let mut inputs = vec![
            ("ids", HostTensor::i32([batch, TIME], texts.ids)?),
            ("targets", HostTensor::i32([batch, TIME], texts.targets)?),
        ];
        if self.rounds > 0 {
            inputs.push(("rotations", self.rotations(random.next_u64())?));
        }
        Ok(inputs)
    }
}

/// Texts, and what follows each token of their second halves; -1 elsewhere, which no loss counts.
struct Texts {
    ids: Vec<i32>,
    targets: Vec<i32>,
}

impl Texts {
    fn draw(random: &mut Random, count: usize) -> Self {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let word: Vec<i32> = (1..HALF).map(|_| 1 + random.next_below(IDS - 1) as i32).collect();
            for _ in 0..2 {
                ids.push(0);
                ids.extend(&word);
            }
            targets.extend(std::iter::repeat_n(-1, HALF));
            targets.extend(&word);
            targets.push(-1);
        }
        Self { ids, targets }
    }
}

fn named<'a>(inputs: &'a [(&'static str, HostTensor)]) -> Vec<(&'static str, &'a HostTensor)> {
    inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
}

/// Numbers to start from: factors of normalisations 1, biases 0, others normal, small in the embeddings.
fn initial(declarations: &Declarations) -> Result<std::collections::BTreeMap<String, HostTensor>> {
    let mut random = random_of(SEED, WEIGHTS, 0);
    let weight = |declared: &foveate::weights::Declaration| {
        let dims = declared.shape.dims();
        let deviation = match &declared.name {
            name if name.starts_with("token") || name.starts_with("position") => 0.02,
            _ => (*dims.last().unwrap_or(&1) as f32).sqrt().recip(),
        };
        let numbers = (0..declared.shape.elements()).map(|_| match (dims.len(), &declared.name) {
            (1, name) => f32::from(u8::from(name.ends_with("weight"))),
            _ => deviation * random.next_normal(),
        });
        Ok((declared.name.clone(), HostTensor::f32(declared.shape.clone(), numbers.collect())?))
    };
    declarations.list().iter().map(weight).collect()
}

/// How many of the second `w`s' symbols a model of so many rounds predicts, in percent.
fn accuracy(trainer: &Trainer, rounds: usize) -> Result<f64> {
    let model = Model::declare(&mut Declarations::new(), rounds)?;
    let mut runner = Runner::new(trainer.weights());
    let (mut right, mut all) = (0, 0);
    for number in 0..(TEXTS / BATCH) as u64 {
        let inputs = model.inputs(&mut random_of(SEED, TEST, number), BATCH)?;
        let record = || -> Result<Graph> {
            let mut graph = Graph::new();
            let logits = model.record(&mut graph, BATCH)?;
            let found = ops::argmax(&mut graph, logits, 2)?;
            graph.output("found", found)?;
            Ok(graph)
        };
        let (targets, read): (Vec<_>, Vec<_>) =
            named(&inputs).into_iter().partition(|(name, _)| *name == "targets");
        let found = runner.run((), &read, record)?["found"].to_f64();
        let targets = targets[0].1.to_f64();
        let counted = found.iter().zip(&targets).filter(|(_, target)| **target >= 0.0);
        all += counted.clone().count();
        right += counted.filter(|(found, target)| found == target).count();
    }
    Ok(100.0 * right as f64 / all as f64)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let rounds = arguments.next().transpose()?.unwrap_or(4);
    let steps = arguments.next().transpose()?.unwrap_or(600) as u64;
    let device = Context::headless(&AdapterRequest::Any).map_or(Device::Cpu, Device::Gpu);
    println!("{}: {TIME} tokens, {} symbols, {HEADS} heads of {}", device.describe(), IDS - 1, WIDTH / HEADS);

    let mut declarations = Declarations::new();
    let model = Model::declare(&mut declarations, rounds)?;
    let schedule =
        Schedule { peak: RATE, warm_up: steps / 12, decay: Decay::Cosine, total: steps, floor: 0.05 * RATE };
    let mut settings =
        Settings::new(Optimizer::AdamW(AdamW { weight_decay: 0.0, ..AdamW::default() }), schedule);
    settings.max_norm = Some(1.0);
    let loss = |graph: &mut Graph, _: Mode| model.loss(graph);
    let weights = initial(&declarations)?;
    let start = Start::Weights(&weights);
    let mut trainer = Trainer::new(&device, &declarations, &loss, start, Description::default(), settings)?;
    let began = Instant::now();
    for step in 0..steps {
        // Texts and rotations of a step are a function of its number.
        let inputs = model.inputs(&mut random_of(SEED, TRAINING, step), BATCH)?;
        let report = trainer.step(&[&named(&inputs)])?;
        if report.step.is_multiple_of(50) {
            println!(
                "step {}: {:.3} nats a symbol, {:.0} s",
                report.step,
                report.loss,
                began.elapsed().as_secs_f64()
            );
        }
    }

    println!("\naccuracy in percent, trained with {rounds} rounds (0: full attention)");
    println!("| rounds at the test | here | paper, 1024 tokens |\n|---|---|---|");
    let paper = PAPER.iter().find(|(trained, _)| *trained == rounds);
    for (place, asked) in ASKED.into_iter().enumerate() {
        let name = if asked == 0 { "full attention".to_owned() } else { asked.to_string() };
        let paper = paper.map_or("-".to_owned(), |(_, row)| format!("{:.1}", row[place]));
        println!("| {name} | {:.1} | {paper} |", accuracy(&trainer, asked)?);
    }
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    Ok(())
}
