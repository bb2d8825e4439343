//! Rules of attention, each in turn with what it is compared with: the same rule written by hand, or attention without it.
//! `cargo bench --bench rules`, or `cargo bench --bench rules -- blocks` for what has that in its name.

mod pairs;

use foveate::check::{Problem, attention_backward};
use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::attention::blocked;
use foveate::ops::{reshape, sum};
use foveate::{DType, Plan, Result};

use pairs::{BY_HAND, Comparison, HEADS, Make, RELATIVE, SPARSE};

const SIZE: usize = 64;
const TURNS: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    /// Of an output and statistics that are inputs.
    Backward,
    /// A step of training, for rules that take further ops around the kernel's.
    Both,
}

impl Pass {
    /// Matrix products of full attention: the rates below count these, whatever a rule leaves out.
    fn products(self) -> usize {
        match self {
            Self::Forward => 2,
            Self::Backward => 5,
            Self::Both => 7,
        }
    }
}

fn session(context: &Context, pass: Pass, time: usize, make: Make) -> Result<Session> {
    let mut problem = Problem::default();
    let mut input = |name| problem.random(name, DType::F32, [1, time, HEADS, SIZE], 1.0);
    let qkv @ [q, k, v] = [input("query")?, input("key")?, input("value")?];
    let spec = make(&mut problem.graph, time)?;
    let results = match pass {
        Pass::Forward => vec![blocked(&mut problem.graph, q, k, v, &spec)?],
        Pass::Backward => attention_backward(&mut problem, qkv, &spec)?.into(),
        Pass::Both => {
            let graph = &mut problem.graph;
            let out = blocked(graph, q, k, v, &spec)?;
            let total = sum(graph, out, &[0, 1, 2, 3])?;
            let total = reshape(graph, total, [])?;
            graph.gradients(total, &qkv)?
        }
    };
    for (i, result) in results.into_iter().enumerate() {
        problem.graph.output(&format!("result {i}"), result)?;
    }
    let program = Program::new(context, &Plan::new(&problem.graph, context.caps())?)?;
    Session::new(&program, &problem.inputs())
}

fn seconds(session: &mut Session) -> Result<f64> {
    let timing = session.run()?;
    Ok(timing.gpu.unwrap_or(timing.wall).as_secs_f64())
}

/// The quartiles, of which the middle one is the median.
fn quartiles(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| figures[(figures.len() - 1) * quarter / 4])
}

/// Both in turn, as machines change their pace within seconds.
fn compare(context: &Context, pass: Pass, comparison: &Comparison) -> Result<()> {
    let Comparison { name, over, time, rule, baseline } = *comparison;
    let mut rule = session(context, pass, time, rule)?;
    let mut baseline = session(context, pass, time, baseline)?;
    let mut turns = Vec::with_capacity(TURNS);
    // The first turn compiles the kernels.
    for turn in 0..=TURNS {
        let figures = [seconds(&mut rule)?, seconds(&mut baseline)?];
        if turn > 0 {
            turns.push(figures);
        }
    }
    let [low, ratio, high] = quartiles(turns.iter().map(|[rule, baseline]| rule / baseline).collect());
    let flops = (2 * pass.products() * HEADS * time * time * SIZE) as f64;
    let [rule, baseline] = [0, 1].map(|at| {
        let [_, median, _] = quartiles(turns.iter().map(|turn| turn[at]).collect());
        format!("{:8.2} ms {:6.1} GFLOP/s", 1e3 * median, flops / median / 1e9)
    });
    println!("{name}, {pass:?}: {rule}; {over} {baseline}; ratio {ratio:.3} ({low:.3} to {high:.3})");
    Ok(())
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    println!(
        "{HEADS} heads of {SIZE}, f32, medians of {TURNS} turns and quartiles of the ratios; rates count what full attention computes."
    );
    for (pass, comparisons) in [
        (Pass::Forward, BY_HAND),
        (Pass::Backward, BY_HAND),
        (Pass::Forward, SPARSE),
        (Pass::Backward, SPARSE),
        (Pass::Forward, RELATIVE),
        (Pass::Both, RELATIVE),
    ] {
        for comparison in comparisons {
            if wanted.iter().all(|part| comparison.name.contains(part.as_str())) {
                compare(&context, pass, comparison).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}
