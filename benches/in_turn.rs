//! Rows of the ops' benchmarks in turn with the first of them, for comparisons that a noisy machine leaves valid:
//! `cargo bench --bench in_turn -- 'elementwise/add/16M' matmul/1 index/gather_rows` prints, beside the rates, the median over all turns of each
//! row's time and rate over that of `elementwise/add/16M` in the same turn.

use foveate::Plan;
use foveate::check::{Bench, Work};
use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::CATALOGUE;

const TURNS: usize = 15;

/// A row that is timed.
struct Row {
    bench: Bench,
    session: Session,
    /// Seconds of each turn.
    seconds: Vec<f64>,
}

impl Row {
    fn new(context: &Context, bench: Bench) -> foveate::Result<Self> {
        let problem = bench.problem()?;
        let plan = Plan::new(&problem.graph, &bench.caps_on(context.caps()))?;
        let session = Session::new(&Program::new(context, &plan)?, &problem.inputs())?;
        Ok(Self { bench, session, seconds: Vec::new() })
    }

    fn run(&mut self) -> foveate::Result<f64> {
        let timing = self.session.run()?;
        Ok(timing.gpu.unwrap_or(timing.wall).as_secs_f64())
    }

    /// The rate of a run of one second, and its unit.
    fn work(&self) -> (f64, &'static str) {
        match self.bench.work() {
            Work::Bytes(bytes) => (bytes as f64 / 1e9, "GB/s"),
            Work::Flops(flops) => (flops as f64 / 1e9, "GFLOP/s"),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The rows that have one of `filters` in their names, in the order of the filters.
fn chosen(filters: &[String]) -> Vec<Bench> {
    let mut all: Vec<Option<Bench>> = CATALOGUE
        .iter()
        .flat_map(|entry| (entry.benches)())
        .filter(|bench| !bench.is_unchecked())
        .map(Some)
        .collect();
    let mut chosen = Vec::new();
    for filter in filters {
        for slot in &mut all {
            chosen.extend(slot.take_if(|bench| bench.to_string().contains(filter.as_str())));
        }
    }
    chosen
}

fn compare(context: &Context, filters: &[String]) -> foveate::Result<()> {
    let benches = chosen(filters).into_iter().filter(|bench| bench.runs_on(context.caps()));
    let mut rows = benches.map(|bench| Row::new(context, bench)).collect::<foveate::Result<Vec<_>>>()?;
    // Pipelines and pages are made by the first run.
    for turn in 0..=TURNS {
        for row in &mut rows {
            let seconds = row.run()?;
            if turn > 0 {
                row.seconds.push(seconds);
            }
        }
    }
    let Some(first) = rows.first() else { return Ok(()) };
    println!("{:<64}{:>10}{:>18}{:>12}{:>12}", "row", "ms", "rate", "time", "rate over");
    for row in &rows {
        let (work, unit) = row.work();
        let time = median(row.seconds.iter().zip(&first.seconds).map(|(own, first)| own / first));
        let same_unit = unit == first.work().1;
        println!(
            "{:<64}{:>10.3}{:>10.2} {unit:<7}{time:>12.2}{:>12}",
            row.bench.to_string(),
            1e3 * median(row.seconds.iter().copied()),
            work / median(row.seconds.iter().copied()),
            if same_unit { format!("{:.2}", work / first.work().0 / time) } else { "-".into() },
        );
    }
    Ok(())
}

fn main() {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    // Cargo says `--bench`, too.
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if filters.is_empty() {
        eprintln!("names of rows are wanted, or parts of names: what all are compared with first");
        return;
    }
    compare(&context, &filters).unwrap_or_else(|error| panic!("{error}"));
}
