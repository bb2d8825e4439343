//! Rows that are timed in turn, for comparisons that a noisy machine leaves valid.

use std::collections::BTreeMap;

use foveate::check::Problem;
use foveate::gpu::{Context, Parameters, Program, Session};
use foveate::weights::{Declarations, Weights};
use foveate::{DType, HostTensor, Plan, Result, Value};

/// A graph that is timed.
pub(crate) struct Row {
    name: String,
    session: Session,
    seconds: Vec<f64>,
    /// What the plan takes, inputs and outputs included.
    bytes: u64,
}

impl Row {
    /// What `build` gives is computed.
    pub(crate) fn new(
        context: &Context,
        name: impl Into<String>,
        build: impl FnOnce(&mut Problem) -> Result<Vec<Value>>,
    ) -> Result<Self> {
        Self::with_weights(context, name, &Declarations::new(), build)
    }

    /// [`Row::new`] of layers, with random numbers for the weights that they declare.
    pub(crate) fn with_weights(
        context: &Context,
        name: impl Into<String>,
        declarations: &Declarations,
        build: impl FnOnce(&mut Problem) -> Result<Vec<Value>>,
    ) -> Result<Self> {
        let mut problem = Problem::default();
        for (i, value) in build(&mut problem)?.into_iter().enumerate() {
            problem.graph.output(&i.to_string(), value)?;
        }
        let plan = Plan::new(&problem.graph, context.caps())?;
        let bytes = plan.memory().total();
        let weights = Weights::random(declarations, DType::F32, 0)?;
        let weights = weights.iter().map(|weight| weight.and_then(|(name, tensor)| positive(name, tensor)));
        let weights = Parameters::upload(context, weights)?;
        let program = Program::new(context, &plan)?;
        let session = Session::with_parameters(&program, &weights, &problem.inputs())?;
        Ok(Self { name: name.into(), session, seconds: Vec::new(), bytes })
    }

    /// What a run of it gives, by number.
    pub(crate) fn outputs(&mut self) -> Result<BTreeMap<String, HostTensor>> {
        self.session.run()?;
        self.session.read()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The share of a run's time that shaders take whose names begin so.
    pub(crate) fn share_of(&mut self, shaders: &str) -> Result<f64> {
        self.session.run()?;
        let (mut own, mut all) = (0.0, 0.0);
        for part in &self.session.profile()? {
            let seconds = part.time.as_secs_f64();
            all += seconds;
            own += if part.shader.starts_with(shaders) { seconds } else { 0.0 };
        }
        Ok(own / all)
    }

    /// Prints where the time of a run goes, by shader.
    pub(crate) fn profile(&mut self) -> Result<()> {
        self.session.run()?;
        let mut shaders: Vec<(&str, f64)> = Vec::new();
        let profiled = self.session.profile()?;
        for part in &profiled {
            let seconds = part.time.as_secs_f64();
            match shaders.iter_mut().find(|(shader, _)| *shader == part.shader) {
                Some((_, sum)) => *sum += seconds,
                None => shaders.push((part.shader, seconds)),
            }
        }
        shaders.sort_by(|a, b| b.1.total_cmp(&a.1));
        let all: f64 = shaders.iter().map(|(_, seconds)| seconds).sum();
        println!("  {}: {:.0} ms one after the other", self.name, 1e3 * all);
        for (shader, seconds) in shaders {
            println!("    {shader:<40}{:>9.1} ms{:>6.0} %", 1e3 * seconds, 100.0 * seconds / all);
        }
        Ok(())
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.seconds.clone())
    }

    /// The median of this row's time over that of `other` in the same turn.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        median(self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other).collect())
    }
}

/// Variances by their absolute value.
fn positive(name: String, tensor: HostTensor) -> Result<(String, HostTensor)> {
    if !name.ends_with("running_var") {
        return Ok((name, tensor));
    }
    let values = tensor.to_f32().into_iter().map(f32::abs).collect();
    Ok((name, HostTensor::f32(tensor.shape().clone(), values)?))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs all rows `turns` times in turn, and once before, which makes pipelines and pages.
pub(crate) fn time(rows: &mut [Row], turns: usize) -> Result<()> {
    for turn in 0..=turns {
        for row in &mut *rows {
            let timing = row.session.run()?;
            if turn > 0 {
                row.seconds.push(timing.gpu.unwrap_or(timing.wall).as_secs_f64());
            }
        }
    }
    for row in rows {
        println!("  {:<58}{:>11.3} ms", row.name, 1e3 * row.median());
    }
    Ok(())
}
