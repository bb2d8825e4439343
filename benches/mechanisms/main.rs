//! Attention mechanisms against exact attention and against themselves at other lengths, attention alone, 4 heads of 64, and convolutions against
//! what they are to keep up with, in turn on one machine: `cargo bench --bench mechanisms`. A word behind `--` picks the tables with it in their name. Ratios that papers publish are of whole training steps.

mod content;
mod conv;
mod linear;
mod turns;
mod unfused;

use foveate::gpu::{AdapterRequest, Context};

type Table = (&'static str, fn(&Context) -> foveate::Result<()>);

const TABLES: &[Table] = &[
    ("linear attention over blocked causal attention", linear::over_blocked),
    ("linear growth of linear attention", linear::growth),
    ("crossover of linear attention", linear::crossover),
    ("decoding with linear attention", linear::decoding),
    ("unfused exact attention of 4096 tokens", unfused::at_4096),
    ("unfused exact attention of 8192 tokens", unfused::at_8192),
    ("crossovers of all mechanisms", unfused::crossovers),
    ("hashing over exact attention", content::over_exact),
    ("hashing over blocked attention", content::hashing_over_blocked),
    ("routing over blocked attention", content::routing_over_blocked),
    ("hashing, tokens fixed", content::growth),
    ("scattered masks", content::scattered),
    ("few keys at growing distances", content::log_sparse_over_lists),
    ("keys one by one", content::single_keys),
    ("memory of attention chosen by content", content::memory),
    ("decays and the delta rule", linear::gates),
    ("profiles", linear::profiles),
    ("depthwise convolution", conv::depthwise),
    ("dense convolution", conv::dense),
    ("lightweight convolution", conv::lightweight),
    ("CTC beside a Conformer's layer", conv::ctc_beside_a_layer),
    ("speech of 16 seconds", conv::speech),
];

fn main() {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    // Cargo says `--bench`, too.
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, table) in TABLES {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            println!("\n{name}");
            table(&context).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
