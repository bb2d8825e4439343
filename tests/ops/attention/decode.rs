//! Attention over a cache: one program that is run again and again, whose cache is a parameter that it writes in place.

use foveate::check::Random;
use foveate::gpu::{Parameters, Program, Session};
use foveate::ops::attention::{Alignment, BlockLayout, Blocked, Mask, Score, alibi_slopes, blocked};
use foveate::ops::{self, write_rows};
use foveate::plan::Command;
use foveate::{DType, ErrorKind, Graph, HostTensor, TensorDesc, Value, cpu};

use super::blocked::F32_OF_LARGEST;
use crate::support::compare::relative_error;
use crate::support::{assert_error, context, plan, refused, run};

const CAPACITY: usize = 38;
const CHUNK: usize = 8;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const SIZE: usize = 16;

/// How long the prompt of each stream is, and how long the stream in the end. Of the last, the chunk that holds the end of the prompt reaches
/// beyond the cache.
const STREAMS: [(usize, usize); 3] = [(21, 33), (3, 9), (37, 38)];

/// The rule of a test, but for where queries stand.
type Rule = fn(&mut Graph) -> Blocked;

fn causal(_: &mut Graph) -> Blocked {
    Blocked::new().mask(Mask::causal())
}

fn alibi_in_a_window(graph: &mut Graph) -> Blocked {
    let slopes = HostTensor::f32([HEADS], alibi_slopes(HEADS)).unwrap();
    let slopes = ops::constant(graph, slopes).unwrap();
    Blocked::new().mask(Mask::window(11, 0)).score(Score::alibi(slopes))
}

/// A tensor of one stream or of all, of which rows are kept in f32.
#[derive(Clone)]
struct Rows {
    heads: usize,
    data: Vec<f32>,
}

impl Rows {
    fn random(random: &mut Random, time: usize, heads: usize) -> Self {
        Self { heads, data: (0..time * heads * SIZE).map(|_| random.next_f32()).collect() }
    }

    fn width(&self) -> usize {
        self.heads * SIZE
    }

    /// The `count` rows from `first` on, NaN from `end` on, where there are none.
    fn chunk(&self, first: usize, count: usize, end: usize) -> Vec<f32> {
        let row = |at: usize| match at < end {
            true => self.data[at * self.width()..][..self.width()].to_vec(),
            false => vec![f32::NAN; self.width()],
        };
        (first..first + count).flat_map(row).collect()
    }
}

/// Query, key and value of a stream.
type Stream = [Rows; 3];

fn streams(dtype: DType) -> Vec<Stream> {
    let mut random = Random::new(7);
    let round = |rows: Rows| {
        let shape = [rows.data.len()];
        Rows { data: HostTensor::from_f32(dtype, shape, &rows.data).unwrap().to_f32(), ..rows }
    };
    STREAMS
        .iter()
        .map(|&(_, length)| {
            [HEADS, KV_HEADS, KV_HEADS].map(|heads| round(Rows::random(&mut random, length, heads)))
        })
        .collect()
}

/// The whole of a stream at once, on the CPU.
fn at_once(dtype: DType, stream: &Stream, rule: Rule) -> Vec<f32> {
    let mut graph = Graph::new();
    let tensors = stream.each_ref().map(|rows| {
        let shape = [1, rows.data.len() / rows.width(), rows.heads, SIZE];
        HostTensor::from_f32(dtype, shape, &rows.data).unwrap()
    });
    let inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v"].into_iter().zip(&tensors).collect();
    let v: Vec<Value> =
        inputs.iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()).collect();
    let rule = rule(&mut graph);
    let out = blocked(&mut graph, v[0], v[1], v[2], &rule).unwrap();
    graph.output("out", out).unwrap();
    cpu::run(&graph, &inputs).unwrap()["out"].to_f32()
}

/// A program of `time` new rows a stream and run, and its one session.
struct Decoder {
    session: Session,
    dtype: DType,
    time: usize,
}

impl Decoder {
    fn new(parameters: &Parameters, dtype: DType, time: usize, rule: Rule) -> Self {
        let batch = STREAMS.len();
        let mut graph = Graph::new();
        let mut input = |name: &str, heads| {
            graph.input(name, TensorDesc::new(dtype, [batch, time, heads, SIZE])).unwrap()
        };
        let (q, k, v) = (input("q", HEADS), input("k", KV_HEADS), input("v", KV_HEADS));
        let at = graph.input("at", TensorDesc::i32([batch])).unwrap();
        let [k, v] = [("keys", k), ("values", v)].map(|(name, rows)| {
            let cache = TensorDesc::new(dtype, [batch, CAPACITY, KV_HEADS, SIZE]);
            let cache = graph.parameter(name, cache).unwrap();
            let written = write_rows(&mut graph, cache, rows, at).unwrap();
            graph.update(cache, written).unwrap();
            written
        });
        let rule = rule(&mut graph).query_start(at);
        let out = blocked(&mut graph, q, k, v, &rule).unwrap();
        graph.output("out", out).unwrap();
        let plan = plan(&graph);
        let is_copy = |command: &&Command| matches!(command, Command::Copy { .. });
        assert_eq!(plan.commands().iter().filter(is_copy).count(), 0, "the cache itself is written");

        let tensors = Self::inputs(dtype, time, &streams(dtype), &[None; STREAMS.len()]);
        let program = Program::new(context(), &plan).unwrap();
        let named: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let session = Session::with_parameters(&program, parameters, &named).unwrap();
        Self { session, dtype, time }
    }

    /// Rows of every stream from a position to an end, none of those that are done: they write behind the cache.
    fn inputs(
        dtype: DType,
        time: usize,
        streams: &[Stream],
        places: &[Option<[usize; 2]>],
    ) -> Vec<(&'static str, HostTensor)> {
        let mut tensors: Vec<(&str, HostTensor)> = ["q", "k", "v"]
            .into_iter()
            .enumerate()
            .map(|(which, name)| {
                let rows = streams.iter().zip(places).flat_map(|(stream, place)| {
                    let [first, end] = place.unwrap_or_default();
                    stream[which].chunk(first, time, end)
                });
                let rows: Vec<f32> = rows.collect();
                let shape = [streams.len(), time, streams[0][which].heads, SIZE];
                (name, HostTensor::from_f32(dtype, shape, &rows).unwrap())
            })
            .collect();
        let at = places.iter().map(|place| place.map_or(CAPACITY, |[first, _]| first) as i32).collect();
        tensors.push(("at", HostTensor::i32([places.len()], at).unwrap()));
        tensors
    }

    /// Runs once more, with nothing but its inputs changed, and puts rows of the result in their places.
    fn step(&mut self, streams: &[Stream], places: &[Option<[usize; 2]>], outputs: &mut [Vec<f32>]) {
        let tensors = Self::inputs(self.dtype, self.time, streams, places);
        let named: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        self.session.write(&named).unwrap();
        self.session.run().unwrap();
        let out = self.session.read().unwrap()["out"].to_f32();
        let width = HEADS * SIZE;
        for ((rows, place), output) in out.chunks(self.time * width).zip(places).zip(outputs) {
            let Some([first, end]) = *place else { continue };
            let count = self.time.min(end - first);
            output[first * width..][..count * width].copy_from_slice(&rows[..count * width]);
        }
    }
}

/// Prompts in chunks, then token by token, each stream at a position of its own.
fn decode(dtype: DType, rule: Rule, tolerance: f64) {
    let streams = streams(dtype);
    // What was never written must not matter.
    let shape = [STREAMS.len(), CAPACITY, KV_HEADS, SIZE];
    let empty = vec![f32::NAN; shape.iter().product()];
    let caches = ["keys", "values"]
        .map(|name| Ok((name.to_owned(), HostTensor::from_f32(dtype, shape, &empty).unwrap())));
    let parameters = Parameters::upload(context(), caches).unwrap();
    let mut outputs: Vec<Vec<f32>> =
        STREAMS.iter().map(|&(_, length)| vec![f32::NAN; length * HEADS * SIZE]).collect();

    let mut prefill = Decoder::new(&parameters, dtype, CHUNK, rule);
    let longest = STREAMS.iter().map(|&(prompt, _)| prompt).max().unwrap();
    for first in (0..longest).step_by(CHUNK) {
        let places = STREAMS.map(|(prompt, _)| (first < prompt).then_some([first, prompt]));
        prefill.step(&streams, &places, &mut outputs);
    }
    let mut decoder = Decoder::new(&parameters, dtype, 1, rule);
    let steps = STREAMS.iter().map(|&(prompt, length)| length - prompt).max().unwrap();
    for step in 0..steps {
        let places = STREAMS.map(|(prompt, length)| {
            let at = prompt + step;
            (at < length).then_some([at, at + 1])
        });
        decoder.step(&streams, &places, &mut outputs);
    }

    for (number, (stream, output)) in streams.iter().zip(outputs).enumerate() {
        let expected = at_once(dtype, stream, rule);
        let [found, expected] = [output, expected].map(|data| HostTensor::f32([data.len()], data).unwrap());
        let error = relative_error(&found, &expected);
        assert!(error < tolerance, "{dtype}, stream {number}: {error:e}");
    }
}

#[test]
fn a_cache_filled_in_chunks_and_token_by_token_gives_what_all_tokens_at_once_do() {
    decode(DType::F32, causal, F32_OF_LARGEST);
    decode(DType::F32, alibi_in_a_window, F32_OF_LARGEST);
}

#[test]
fn a_cache_may_be_f16() {
    if context().caps().f16 {
        decode(DType::F16, causal, 8.0 * f64::from(half::f16::EPSILON));
    }
}

#[test]
fn alignments_are_queries_from_a_fixed_position() {
    let mut random = Random::new(3);
    let mut tensor = |time, heads| {
        let rows = Rows::random(&mut random, 2 * time, heads).data;
        HostTensor::f32([2, time, heads, SIZE], rows).unwrap()
    };
    let (q, k, v) = (tensor(30, HEADS), tensor(50, KV_HEADS), tensor(50, KV_HEADS));
    let mut graph = Graph::new();
    let inputs = [("q", &q), ("k", &k), ("v", &v)];
    let x = inputs.map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap());
    for (name, alignment, start) in [("last", Alignment::BottomRight, 20), ("first", Alignment::TopLeft, 0)] {
        let aligned = Blocked::new().mask(Mask::window(9, 2).aligned(alignment));
        let start = ops::constant(&mut graph, HostTensor::i32([2], vec![start; 2]).unwrap()).unwrap();
        let placed = Blocked::new().mask(Mask::window(9, 2)).query_start(start);
        for (words, spec) in [("aligned", aligned), ("placed", placed)] {
            let out = blocked(&mut graph, x[0], x[1], x[2], &spec).unwrap();
            graph.output(&format!("{name} {words}"), out).unwrap();
        }
    }
    let outputs = run(&graph, &inputs);
    for name in ["last", "first"] {
        assert_eq!(outputs[&format!("{name} aligned")], outputs[&format!("{name} placed")], "{name}");
    }
}

#[test]
fn what_does_not_fit_queries_that_start_anywhere_is_refused() {
    let refusal = |descs: &[TensorDesc], kind, place: &str, spec: &dyn Fn(&[Value]) -> Blocked| {
        let [q, k] = [4, 10].map(|time| TensorDesc::f32([2, time, 4, SIZE]));
        let descs = [&[q, k.clone(), k, TensorDesc::i32([2])], descs].concat();
        let error =
            refused(&descs, |graph, v| blocked(graph, v[0], v[1], v[2], &spec(&v[4..]).query_start(v[3])));
        assert_error(&error, kind, place);
    };
    // Of the keys, not of the queries.
    let layout = |queries| BlockLayout::new(4, [1, queries, 3], vec![true; 3 * queries]).unwrap();
    refusal(&[], ErrorKind::Shape, "attention/blocked: layout", &|_| {
        Blocked::new().mask(Mask::blocks(layout(1)))
    });
    refusal(&[TensorDesc::i32([2, 4])], ErrorKind::Shape, "attention/blocked: segments", &|v| {
        Blocked::new().segments(v[0])
    });
    let keys = TensorDesc::f32([9, 4, SIZE]);
    refusal(&[keys], ErrorKind::Shape, "attention/blocked: relative_keys.keys", &|v| {
        Blocked::new().mask(Mask::causal()).score(Score::relative_keys(v[0], None, None, 0))
    });
    refusal(&[], ErrorKind::Argument, "attention/blocked: mask", &|_| {
        Blocked::new().mask(Mask::causal() & !Mask::causal())
    });

    for (starts, kind) in [
        (TensorDesc::i32([3]), ErrorKind::Shape),
        (TensorDesc::i32([2, 1]), ErrorKind::Shape),
        (TensorDesc::f32([2]), ErrorKind::Dtype),
    ] {
        let descs = [TensorDesc::f32([2, 4, 4, SIZE]), starts];
        let error =
            refused(&descs, |graph, v| blocked(graph, v[0], v[0], v[0], &Blocked::new().query_start(v[1])));
        assert_error(&error, kind, "attention/blocked: query_start");
    }
}
