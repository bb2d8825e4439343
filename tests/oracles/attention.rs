//! Rules of attention against the dense formula and its gradients.
//!
//! A file says in words which keys are seen (`mask`) and what becomes of scores (`score`); [`MASKS`] and [`SCORES`] hold those words.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foveate::check::{Case, Outcome, Problem, conform, exp_ulps, gradient_case};
use foveate::ops::attention::{
    Alignment, BlockLayout, Blocked, Buckets, LogSparse, Mask, Score, alibi_slopes, blocked_with_lse,
    global_tokens,
};
use foveate::{DType, HostTensor, Value, cpu, ops};

use crate::compare::{Bound, Rows, compare};
use crate::devices::context;
use crate::file::{File, numbers};
use crate::recording::Recording;
use crate::report::Report;
use crate::{Found, Result, is_safetensors};

/// How far f32 results may lie from a file, of the largest element: what the project set itself for attention.
const F32_OF_LARGEST: f64 = 2e-5;

/// A rule whose tensors go by their names.
type Rule = Blocked<&'static str>;

/// A file whose rule is being read.
struct Reading<'f> {
    file: &'f File,
    /// Tensors that the file describes without holding them.
    made: BTreeMap<&'static str, HostTensor>,
}

type ReadMask = fn(&mut Reading<'_>) -> Result<Mask<&'static str>>;
type ReadScore = fn(&mut Reading<'_>, Rule, &[u32]) -> Result<Rule>;

/// Attention masks by their words; `#` stands for a number.
const MASKS: &[(&str, ReadMask)] = &[
    ("full", |_| Ok(Mask::full())),
    ("causal", |reading| Ok(Mask::causal().aligned(reading.alignment()?))),
    ("causal bottom-right, one query", |_| Ok(Mask::causal())),
    ("causal bottom-right, Tk = memory # + Tq", |_| Ok(Mask::causal())),
    ("strictly causal (self excluded): j < i", |_| Ok(Mask::causal() & !Mask::window(0, 0))),
    ("window", |reading| Ok(Mask::window(reading.count("left")?, reading.count("right")?))),
    ("causal and window", |reading| Ok(Mask::causal() & Mask::band(Some(reading.count("left")?), None))),
    ("dilated window", |reading| {
        Ok(Mask::dilated_window(reading.count("half_width")?, [reading.count("dilation")?]))
    }),
    ("prefix (UniLM): j < prefix or j <= i", |reading| {
        Ok(Mask::causal() | Mask::prefix(reading.count("prefix")?))
    }),
    ("Sparse Transformer strided, causal", |reading| Ok(Mask::strided(reading.count("stride")?))),
    ("Sparse Transformer fixed, causal", |reading| {
        Ok(Mask::fixed(reading.count("stride")?, reading.count("expressivity")?))
    }),
    ("LogSparse, causal", |_| Ok(Mask::log_sparse(LogSparse::default()))),
    ("window or global(i) or global(j)", longformer),
    ("block layout [head, query block, key block]", blocks),
    ("arbitrary bool, one empty row", |_| Ok(Mask::dense("mask"))),
    ("keys j < length[b]; an item of length 0 gives output 0, gradients 0, lse -1e30", |_| {
        Ok(Mask::lengths("length"))
    }),
    ("same segment (packed sequences) and causal", |_| Ok(Mask::causal() & Mask::segments("segments"))),
];

/// Score modifiers by their words.
const SCORES: &[(&str, ReadScore)] = &[
    ("cap * tanh(s / cap)", |reading, rule, _| Ok(rule.softcap(reading.file.spec.number("cap")?))),
    ("s - slope[h] * |i - j|", |reading, rule, _| {
        let heads = reading.dims("q")?[2];
        reading.made.insert("slopes", HostTensor::f32([heads], alibi_slopes(heads))?);
        Ok(rule.score(Score::alibi("slopes")))
    }),
    ("s + bias[1 or B, H, Tq, Tk]; bias is [1, H, Tq, Tk], has a gradient", |_, rule, _| {
        Ok(rule.score(Score::bias("bias")))
    }),
    (
        "s + table[bucket(j-i), h], no scaling; bidirectional T5 buckets, # buckets, max distance #",
        |_, rule, found| {
            let buckets = Buckets { count: found[0], max_distance: found[1], bidirectional: true };
            Ok(rule.score(Score::buckets("table", buckets)))
        },
    ),
    ("s - (i-j)^2 / (2 sigma[h]^2); sigma has a gradient", |_, rule, _| {
        Ok(rule.score(Score::gaussian("sigma")))
    }),
    (
        "weights m_z(i-j) = clamp((R + z[h] - (i-j)) / R, 0, 1) multiply exp(s) before normalising; z has a gradient",
        |reading, rule, _| Ok(rule.score(Score::adaptive_span("z", reading.file.spec.number("R")?))),
    ),
    (
        "(q_i.k_j + q_i.kr[d] + k_j.qr[d]) / sqrt(3 D), d = clamp(i-j+K, 0, 2K-1) in both terms, as the released code \
         does (the paper prints d(j,i) in the second); kr, qr are [2K, H, D] with gradients",
        |reading, rule, _| {
            let channels = reading.dims("q")?[3] as f32;
            let score = Score::disentangled(Some("kr"), Some("qr"), reading.count("K")?);
            Ok(rule.score(score).scale(1.0 / (3.0 * channels).sqrt()))
        },
    ),
    (
        "((q_i + u[h]) . k_j + (q_i + w[h]) . r[i-j, h]) / sqrt(D); r is [distance 0..Tk-1, H, D]; u, w, r have gradients",
        |_, rule, _| Ok(rule.score(Score::relative_keys("r", Some("u"), Some("w"), 0))),
    ),
];

/// Masks whose files also run with queries that stand where a tensor says, opposite the same keys.
const PLACED: &[&str] = &[
    "full",
    "causal",
    "causal bottom-right, one query",
    "causal bottom-right, Tk = memory # + Tq",
    "window",
    "window or global(i) or global(j)",
    "block layout [head, query block, key block]",
    "same segment (packed sequences) and causal",
];

/// How query heads share key heads, which shapes say, too.
const HEADS: &[&str] = &["# query heads share # key heads in consecutive pairs", "one key head"];

fn longformer(reading: &mut Reading<'_>) -> Result<Mask<&'static str>> {
    let flags = reading.file.tensors.get("global")?;
    let &[_, time] = flags.shape().dims() else { return Err("`global` is not [batch, time]".into()) };
    let flags = flags.to_f64();
    let lists: Vec<Vec<usize>> =
        flags.chunks(time).map(|item| (0..time).filter(|&at| item[at] != 0.0).collect()).collect();
    reading.made.insert("globals", global_tokens(&lists, time)?);
    Ok(Mask::longformer(reading.count("half_width")?, "globals"))
}

fn blocks(reading: &mut Reading<'_>) -> Result<Mask<&'static str>> {
    let layout = reading.file.tensors.get("layout")?;
    let pairs = layout.to_f64().iter().map(|&pair| pair != 0.0).collect();
    let shape: [usize; 3] = layout.shape().dims().try_into()?;
    Ok(Mask::blocks(BlockLayout::new(reading.count("block_size")?, shape, pairs)?))
}

impl Reading<'_> {
    fn count(&self, key: &str) -> Result<u32> {
        self.file.spec.count(key)
    }

    fn dims(&self, name: &str) -> Result<&[usize]> {
        Ok(self.file.tensors.get(name)?.shape().dims())
    }

    fn alignment(&self) -> Result<Alignment> {
        match self.file.spec.find("align").map(|align| align.as_str().unwrap_or_default()) {
            None => Ok(Alignment::BottomRight),
            Some("bottom-right: key j visible when j <= i + Tk - Tq") => Ok(Alignment::BottomRight),
            Some("top-left: j <= i; Tq > Tk") => Ok(Alignment::TopLeft),
            Some(other) => Err(format!("this test does not know the alignment `{other}`").into()),
        }
    }
}

/// The test of the file at `path`, if the tables have its words.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !is_safetensors(path) || read(&File::open(path)?)?.is_none() {
        return Ok(Found::Missing);
    }
    let path = path.to_owned();
    Ok(Found::test(move || {
        let file = File::open(&path)?;
        let oracle = read(&file)?.ok_or("the file has changed")?;
        let mut report = equals_file(&oracle, &file)?;
        file.refuse_unread()?;
        let mask = file.spec.text("mask")?;
        if PLACED.iter().any(|words| numbers(words, mask).is_some()) {
            report = report.and(equals_file(&oracle.placed()?, &file)?);
        }
        is_within_budget_in_f16(oracle)?;
        Ok(report)
    }))
}

/// Query, key, value, what the rule reads, and the upstream gradient; the rule; and what is compared.
#[derive(Clone)]
struct Oracle {
    inputs: Vec<(&'static str, HostTensor)>,
    /// Those that no file needs to hold, and none has a gradient of.
    made: Vec<&'static str>,
    rule: Rule,
    alignment: Alignment,
    out: HostTensor,
}

/// None where the tables lack the words of the file.
fn read(file: &File) -> Result<Option<Oracle>> {
    let mut reading = Reading { file, made: BTreeMap::new() };
    let mask = file.spec.text("mask")?;
    let Some((_, mask)) = MASKS.iter().find(|(words, _)| numbers(words, mask).is_some()) else {
        return Ok(None);
    };
    let mut rule = Blocked::new().mask(mask(&mut reading)?).scale(file.number("scale")? as f32);
    if file.spec.find("score").is_some() {
        let words = file.spec.text("score")?;
        let found = SCORES.iter().find_map(|(pattern, score)| Some((score, numbers(pattern, words)?)));
        let Some((score, found)) = found else { return Ok(None) };
        rule = score(&mut reading, rule, &found)?;
    }
    if file.spec.find("heads").is_some() {
        let words = file.spec.text("heads")?;
        if !HEADS.iter().any(|known| numbers(known, words).is_some()) {
            return Ok(None);
        }
    }
    let mut names = vec!["q", "k", "v"];
    rule.map(|&name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names.push("d_out");
    let tensor = |name| match reading.made.get(name) {
        // As `foveate attend` takes it from a file that has it, too.
        Some(tensor) if file.tensors.find(name).is_some_and(|own| own != tensor) => {
            Err(format!("`{name}` of the file is not what its words say").into())
        }
        Some(tensor) => Ok((name, tensor.clone())),
        None => Ok((name, file.tensors.get(name)?.clone())),
    };
    let inputs = names.into_iter().map(tensor).collect::<Result<_>>()?;
    let alignment = reading.alignment()?;
    let made = reading.made.keys().copied().collect();
    Ok(Some(Oracle { inputs, made, rule, alignment, out: file.tensors.get("out")?.clone() }))
}

/// The name that a file has for the gradient of a tensor.
fn gradient_name(name: &str) -> String {
    if ["q", "k", "v"].contains(&name) { format!("d{name}") } else { format!("d_{name}") }
}

impl Oracle {
    /// The same with the position of each item's first query in a tensor.
    fn placed(&self) -> Result<Self> {
        let time = |name: &str| {
            let tensor = self.inputs.iter().find(|(known, _)| *known == name);
            tensor.map(|(_, tensor)| [0, 1].map(|axis| tensor.shape().dims()[axis])).ok_or("no query or key")
        };
        let ([batch, query_time], [_, key_time]) = (time("q")?, time("k")?);
        let start = match self.alignment {
            Alignment::BottomRight => key_time as i32 - query_time as i32,
            Alignment::TopLeft => 0,
        };
        let mut oracle = self.clone();
        oracle.inputs.push(("start", HostTensor::i32([batch], vec![start; batch])?));
        oracle.rule = oracle.rule.query_start("start");
        Ok(oracle)
    }

    /// Those inputs that are multiplied with each other are of type `dtype`.
    fn inputs_of(&self, dtype: DType) -> Result<Vec<(&'static str, HostTensor)>> {
        let typed = |(name, tensor): &(&'static str, HostTensor)| {
            let is_factor = ["q", "k", "v", "d_out", "kr", "qr", "r", "u", "w", "bias"].contains(name);
            Ok((
                *name,
                match is_factor {
                    true => HostTensor::from_f32(dtype, tensor.shape().clone(), &tensor.to_f32())?,
                    false => tensor.clone(),
                },
            ))
        };
        self.inputs.iter().map(typed).collect()
    }
}

/// `out`, `lse` and all gradients, in f32.
fn equals_file(oracle: &Oracle, file: &File) -> Result<Report> {
    let mut recording = Recording::default();
    let mut values = BTreeMap::new();
    for (name, tensor) in &oracle.inputs {
        values.insert(*name, recording.input(name, tensor.clone())?);
    }
    let spec = oracle.rule.map(|name| values[name]);
    let (out, lse) = blocked_with_lse(&mut recording.graph, values["q"], values["k"], values["v"], &spec)?;
    let weighted = ops::multiply(&mut recording.graph, out, values["d_out"])?;
    let loss = recording.total(weighted)?;
    let is_differentiated = |(name, tensor): &&(&'static str, HostTensor)| {
        *name != "d_out" && tensor.dtype() != DType::I32 && !oracle.made.contains(name)
    };
    let wrt: Vec<&str> = oracle.inputs.iter().filter(is_differentiated).map(|(name, _)| *name).collect();
    let gradients =
        recording.graph.gradients(loss, &wrt.iter().map(|name| values[name]).collect::<Vec<Value>>())?;
    let results = [("out".to_owned(), out), ("lse".to_owned(), lse)].into_iter();
    let results = results.chain(wrt.into_iter().map(gradient_name).zip(gradients));
    for (name, value) in results {
        let tensor = file.tensors.get(&name)?.clone();
        recording.expect(&name, value, tensor, Rows::All, Bound::of_largest(F32_OF_LARGEST))?;
    }
    // Written out for whoever has no rules.
    file.tensors.pass_over(&["mask"]);
    recording.check()
}

/// Inputs rounded to f16, and results within the budget that is derived from the problem. Numbers beyond f16 have no such form.
fn is_within_budget_in_f16(oracle: Oracle) -> Result<()> {
    let is_beyond = |(_, tensor): &(&str, HostTensor)| tensor.to_f64().iter().any(|x| x.is_infinite());
    if oracle.inputs_of(DType::F16)?.iter().any(is_beyond) {
        return Ok(());
    }
    // Scores move by up to 2^-11 of each of their terms.
    let bound = Bound::of_largest(8.0 * f64::from(half::f16::EPSILON));
    let expected = oracle.out.clone();
    let inputs = oracle.inputs_of(DType::F16)?;
    let build = move |problem: &mut Problem| {
        let mut values = BTreeMap::new();
        for (name, tensor) in inputs.iter().filter(|(name, _)| *name != "d_out") {
            values.insert(*name, problem.input(name, tensor.clone())?);
        }
        let spec = oracle.rule.map(|name| values[name]);
        let (out, lse) = blocked_with_lse(&mut problem.graph, values["q"], values["k"], values["v"], &spec)?;
        Ok(vec![out, lse])
    };
    // What exponentials may lose above and below the fraction bar, of scores further apart than any file's.
    let forward =
        Arc::new(Case::new("attention/blocked", "of a file", build).builtin_ulps(2.0 * exp_ulps(100.0)));
    let problem = forward.problem()?;
    let rounded = cpu::run(&problem.graph, &problem.inputs())?;
    let (out, _) = &problem.graph.outputs()[0];
    compare("out, rounded to f16", &rounded[out], &expected, &Rows::All, bound)?;

    let backward = gradient_case(&forward)?.ok_or("every rule is differentiated")?;
    for case in [&*forward, &backward] {
        let outcome = conform(case, context(), context().caps());
        let has_f16 = context().caps().f16;
        let is_as_it_should = match outcome {
            Outcome::Passed(_) => has_f16,
            Outcome::Unsupported(_) => !has_f16,
            Outcome::Failed(_) => false,
        };
        if !is_as_it_should {
            return Err(format!("in f16: {case:?}: {outcome:?}").into());
        }
    }
    Ok(())
}
