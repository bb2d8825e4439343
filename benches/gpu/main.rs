//! Matrix products and exact attention at the sizes of real models, verified and timed: one JSON object a line, for `report.py`.
//!
//! `cargo bench --bench gpu -- --lengths 4096,8192,16384 --seconds 120`; `run.sh` tells the rest. Each kernel is verified on its own
//! problem, against sums in f64 on the host, before it is timed.

mod attention;
mod host;
mod product;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Plan, Result};

/// Timed runs of a row, which stop earlier when a second is over.
const RUNS: usize = 20;

/// What the command line says.
struct Settings {
    products: Vec<usize>,
    lengths: Vec<usize>,
    head_sizes: Vec<usize>,
    heads: usize,
    adapter: AdapterRequest,
    end: Instant,
}

impl Settings {
    fn from_arguments() -> Result<Self> {
        let mut settings = Self {
            products: vec![1024, 4096],
            lengths: vec![4096, 8192, 16384],
            head_sizes: vec![64, 128],
            heads: 16,
            adapter: AdapterRequest::Any,
            end: Instant::now() + Duration::from_secs(180),
        };
        // Cargo adds `--bench` to what the user writes.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let refused = || Error::new(ErrorKind::Argument, "gpu", name.clone());
            let text = arguments.next().ok_or_else(|| refused().expecting("a value behind it"))?;
            if name == "--device" {
                if text != "gpu" {
                    settings.adapter = AdapterRequest::Named(text);
                }
                continue;
            }
            let numbers =
                text.split(',').map(|number| number.parse().ok().filter(|&number: &usize| number > 0));
            let numbers: Vec<usize> = numbers.collect::<Option<_>>().ok_or_else(|| {
                refused().expecting("whole numbers above 0, with commas between").but_found(&text)
            })?;
            match name.as_str() {
                "--matmul" => settings.products = numbers,
                "--lengths" => settings.lengths = numbers,
                "--head-sizes" => settings.head_sizes = numbers,
                "--heads" => settings.heads = numbers[0],
                "--seconds" => settings.end = Instant::now() + Duration::from_secs(numbers[0] as u64),
                _ => {
                    return Err(refused()
                        .expecting("--device, --matmul, --lengths, --head-sizes, --heads or --seconds"));
                }
            }
        }
        Ok(settings)
    }
}

/// Tensors by name, for the host's sums.
type Tensors = BTreeMap<String, Vec<f64>>;

/// The largest error over its bound, of inputs and of what the device gave for them.
type Verify = Box<dyn Fn(&Tensors, &Tensors) -> f64>;

/// A problem of one kernel.
struct Row {
    flops: f64,
    inputs: Vec<(&'static str, HostTensor)>,
    graph: Graph,
    verify: Verify,
}

fn main() -> Result<()> {
    let settings = Settings::from_arguments()?;
    let context = Context::headless(&settings.adapter)?.self_tested();
    println!("{}", serde_json::json!({ "adapter": context.describe() }));
    let dtypes = [DType::F32, DType::F16];
    let dtypes = dtypes.into_iter().filter(|dtype| *dtype == DType::F32 || context.caps().f16);
    for dtype in dtypes {
        for size in &settings.products {
            measure(&context, &settings, &format!("matmul {size}"), dtype, || product::row(*size, dtype))?;
        }
        for &time in &settings.lengths {
            for &size in &settings.head_sizes {
                for pass in attention::PASSES {
                    let problem = attention::Problem { time, heads: settings.heads, size, pass, dtype };
                    measure(&context, &settings, &problem.name(), dtype, || problem.row())?;
                }
            }
        }
    }
    Ok(())
}

/// Verifies and times one row, and prints what came of it. A row that is too large for the device, and one for which no time is left, is
/// said to be left out.
fn measure(
    context: &Context,
    settings: &Settings,
    name: &str,
    dtype: DType,
    row: impl FnOnce() -> Result<Row>,
) -> Result<()> {
    let report = match Instant::now() < settings.end {
        false => serde_json::json!({ "left_out": "the time was over" }),
        true => match timed(context, row()?) {
            Err(error) if error.kind() == ErrorKind::Limit => {
                serde_json::json!({ "left_out": error.to_string() })
            }
            other => other?,
        },
    };
    let mut line = serde_json::json!({ "row": name, "dtype": dtype.name() });
    let fields = line.as_object_mut().zip(report.as_object());
    if let Some((line, report)) = fields {
        line.extend(report.clone());
    }
    println!("{line}");
    Ok(())
}

fn timed(context: &Context, row: Row) -> Result<serde_json::Value> {
    let plan = Plan::new(&row.graph, context.caps())?;
    let program = Program::new(context, &plan)?;
    let inputs: Vec<(&str, &HostTensor)> = row.inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let start = Instant::now();
    let mut session = Session::new(&program, &inputs)?;
    session.run()?;
    let first = start.elapsed();
    let given = inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.to_f64())).collect();
    let found = session.read()?.into_iter().map(|(name, tensor)| (name, tensor.to_f64())).collect();
    let of_bound = (row.verify)(&given, &found);
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || (times.len() < RUNS && start.elapsed() < Duration::from_secs(1)) {
        let timing = session.run()?;
        times.push(timing.gpu.filter(|gpu| !gpu.is_zero()).unwrap_or(timing.wall).as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let kernels = program.report().iter().filter_map(|step| {
        let choice = step.choice.as_ref()?;
        Some(format!("{}: {}, {}", step.op, choice.tier.name(), choice.kernel))
    });
    let kernels: Vec<String> = kernels.collect();
    Ok(serde_json::json!({
        "ms": 1e3 * median, "gflops": row.flops / median / 1e9, "runs": times.len(), "first_ms": 1e3 * first.as_secs_f64(),
        "memory_mib": plan.memory().total() as f64 / f64::from(1 << 20), "error_of_bound": of_bound, "right": of_bound <= 1.0,
        "kernels": kernels,
    }))
}
