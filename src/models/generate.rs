//! Text from a language model, token by token.

use super::language_model::{LanguageModel, Recording};
use crate::gpu::{Parameters, Program, Session};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::runtime::Device;
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Random, Result, cpu, ops};

const NAME: &str = "generate";

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What scores are divided by: below 1 likely tokens get likelier; 0 takes the likeliest.
    pub temperature: f32,
    /// How many of the likeliest tokens are drawn from; all of them when 0.
    pub top_k: usize,
}

/// A language model on a device that continues sequences.
#[derive(Debug)]
pub struct Generator {
    length: usize,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Gpu(Box<Session>),
    Cpu { graph: Box<Graph>, parameters: cpu::Parameters<f32> },
}

impl Generator {
    /// Puts `model` on `device` with `weights`, tensors by name as [`LanguageModel::declarations`] has them.
    ///
    /// Fails when one is missing or misshapen, and when the device has no room.
    pub fn new(
        model: &LanguageModel,
        weights: impl IntoIterator<Item = Result<(String, HostTensor)>>,
        device: &Device,
    ) -> Result<Self> {
        let length = model.config().length;
        let mut graph = Graph::new();
        let ids = graph.input("ids", TensorDesc::i32([1, length]))?;
        let last = graph.input("last", TensorDesc::i32([1]))?;
        let recording = Recording::default();
        let hidden = model.record_hidden(&mut graph, ids, &recording, None)?;
        // Row `last`, looked up as an embedding's rows are.
        let rows = ops::reshape(&mut graph, hidden, [length, model.config().width])?;
        let row = ops::embedding(&mut graph, &[(rows, last)])?;
        let scores = model.record_scores(&mut graph, row, &recording)?;
        graph.output("scores", scores)?;
        let engine = match device {
            Device::Cpu => Engine::Cpu { graph: Box::new(graph), parameters: cpu::Parameters::new(weights)? },
            Device::Gpu(context) => {
                let parameters = Parameters::upload(context, weights)?;
                let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
                let (ids, last) =
                    (HostTensor::i32([1, length], vec![0; length])?, HostTensor::i32([1], vec![0])?);
                let inputs = [("ids", &ids), ("last", &last)];
                Engine::Gpu(Box::new(Session::with_parameters(&program, &parameters, &inputs)?))
            }
        };
        Ok(Self { length, engine })
    }

    /// The scores of every token to follow `ids`, of which the last [`super::LanguageModelConfig::length`] are read.
    ///
    /// Fails when there are no ids, and when the device fails.
    pub fn scores(&mut self, ids: &[i32]) -> Result<Vec<f32>> {
        if ids.is_empty() {
            return Err(Error::new(ErrorKind::Argument, NAME, "ids")
                .expecting("at least one")
                .but_found("none"));
        }
        let context = &ids[ids.len().saturating_sub(self.length)..];
        let mut padded = context.to_vec();
        // Nothing sees what comes behind it.
        padded.resize(self.length, 0);
        let ids = HostTensor::i32([1, self.length], padded)?;
        let last = HostTensor::i32([1], vec![context.len() as i32 - 1])?;
        let inputs = [("ids", &ids), ("last", &last)];
        let outputs = match &mut self.engine {
            Engine::Cpu { graph, parameters } => cpu::run_f32(graph, parameters, &inputs)?,
            Engine::Gpu(session) => {
                session.write(&inputs)?;
                session.run()?;
                session.read()?
            }
        };
        Ok(outputs["scores"].to_f32())
    }

    /// Draws the token to follow `ids`. Fails as [`Generator::scores`] and [`Sampling::check`] do.
    pub fn next(&mut self, ids: &[i32], sampling: &Sampling, random: &mut Random) -> Result<i32> {
        sampling.check()?;
        Ok(sampling.draw(&self.scores(ids)?, random))
    }
}

impl Sampling {
    /// Refuses a temperature without a meaning.
    pub fn check(&self) -> Result<()> {
        if self.temperature.is_finite() && self.temperature >= 0.0 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, NAME, "temperature")
            .expecting("a number of at least 0")
            .but_found(self.temperature))
    }

    /// The place of the drawn score; of equal scores the first counts as the higher one.
    fn draw(&self, scores: &[f32], random: &mut Random) -> i32 {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        if self.temperature == 0.0 {
            return order[0] as i32;
        }
        order.truncate(if self.top_k == 0 { scores.len() } else { self.top_k });
        let highest = f64::from(scores[order[0]]);
        let weight = |&at: &usize| ((f64::from(scores[at]) - highest) / f64::from(self.temperature)).exp();
        let total: f64 = order.iter().map(weight).sum();
        let mut left = total * (f64::from(random.next_f32()) + 1.0) / 2.0;
        for at in &order {
            left -= weight(at);
            if left < 0.0 {
                return *at as i32;
            }
        }
        order[order.len() - 1] as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_temperature_and_top_k() {
        let scores = [0.0, 3.0, 1.0, 2.0];
        let mut random = Random::new(1);
        let mut drawn = |temperature, top_k| {
            let sampling = Sampling { temperature, top_k };
            let mut counts = [0; 4];
            for _ in 0..4000 {
                counts[sampling.draw(&scores, &mut random) as usize] += 1;
            }
            counts
        };
        assert_eq!(drawn(0.0, 0), [0, 4000, 0, 0]);
        let [none, most, also_none, fewer] = drawn(1.0, 2);
        assert_eq!((none, also_none), (0, 0));
        assert!((most as f64 / fewer as f64 - 1f64.exp()).abs() < 0.3, "{most} to {fewer}");
        assert!(drawn(10.0, 0).iter().all(|&count| count > 700));
    }
}
