//! Scratch.
use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::attention::*;
use foveate::{Graph, HostTensor, Plan, TensorDesc, Value, ops};
use std::time::Duration;
type Make = Box<dyn Fn(&mut Graph, &mut Vec<(String, HostTensor)>) -> Blocked>;
fn session(context: &Context, time: usize, heads: usize, backward: bool, make: &Make) -> Session {
    let mut graph = Graph::new();
    let mut inputs: Vec<(String, HostTensor)> = Vec::new();
    let mut random = foveate::check::Random::new(3);
    let mut v: Vec<Value> = Vec::new();
    for name in ["q", "k", "v", "d_out"] {
        let t = HostTensor::f32(
            [1, time, heads, 64],
            (0..time * heads * 64).map(|_| random.next_f32()).collect(),
        )
        .unwrap();
        v.push(graph.input(name, t.desc()).unwrap());
        inputs.push((name.into(), t));
    }
    let spec = make(&mut graph, &mut inputs);
    if backward {
        let lse = graph.input("lse", TensorDesc::f32([1, heads, time])).unwrap();
        inputs.push(("lse".into(), HostTensor::f32([1, heads, time], vec![5.0; heads * time]).unwrap()));
        let out = v[2];
        let a = Attended { out, lse, d_out: v[3], d_lse: None };
        let g = blocked_backward(&mut graph, v[0], v[1], v[2], &a, &spec).unwrap();
        for (i, g) in g.iter().enumerate() {
            graph.output(&format!("g{i}"), *g).unwrap();
        }
    } else {
        let out = blocked(&mut graph, v[0], v[1], v[2], &spec).unwrap();
        graph.output("out", out).unwrap();
    }
    let plan = Plan::new(&graph, context.caps()).unwrap();
    let program = Program::new(context, &plan).unwrap();
    let given: Vec<(&str, &HostTensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
    println!(
        "   working {} KiB, {}",
        plan.memory().working / 1024,
        plan.report()
            .iter()
            .filter_map(|r| r.choice.as_ref())
            .map(|c| c.kernel.to_string())
            .collect::<Vec<_>>()
            .join("; ")
    );
    Session::new(&program, &given).unwrap()
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (what, backward) = (args[1].as_str(), args.get(2).is_some_and(|b| b == "b"));
    let context = Context::headless(&AdapterRequest::Any).unwrap();
    let plain = |m: Mask| -> Make { Box::new(move |_, _| Blocked::new().mask(m.clone())) };
    let layout = |time: usize| {
        let n = time / 64;
        let mut random = foveate::check::Random::new(9);
        let mut pairs = vec![false; n * n];
        for q in 0..n {
            pairs[q * n + q] = true;
            let mut left = (n as f64 * 0.1) as usize;
            while left > 1 {
                let k = random.next_below(n);
                if !pairs[q * n + k] {
                    pairs[q * n + k] = true;
                    left -= 1;
                }
            }
        }
        Mask::blocks(BlockLayout::new(64, [1, n, n], pairs).unwrap())
    };
    let longformer = |time: usize, left: u32, right: u32| -> Make {
        Box::new(move |g, inputs| {
            let t = global_tokens(&[vec![0, 1]], time).unwrap();
            let v = g.input("globals", t.desc()).unwrap();
            inputs.push(("globals".into(), t));
            Blocked::new().mask(Mask::window(left, right) | Mask::globals(v))
        })
    };
    const BY_HAND: &str = "fn hand(batch: u32, head: u32, query: i32, key: i32) -> bool { return (query - key <= 128) && (key - query <= 127); }
fn hand_tile(batch: u32, head: u32, fq: i32, lq: i32, fk: i32, lk: i32) -> vec2<bool> { return vec2((fq - lk <= 128) && (fk - lq <= 127), (lq - fk <= 128) && (lk - fq <= 127)); }";
    let hand = || {
        Mask::custom(
            CustomMask::new("hand", BY_HAND, |p| {
                p.query as i64 - p.key as i64 <= 128 && p.key as i64 - p.query as i64 <= 127
            })
            .unwrap()
            .with_tiles(),
        )
    };
    const STRIDED: &str = "fn hand(batch: u32, head: u32, query: i32, key: i32) -> bool { let d = query - key; return (d >= 0) && ((d < 64) || (d % 64 == 0)); }
fn hand_tile(batch: u32, head: u32, fq: i32, lq: i32, fk: i32, lk: i32) -> vec2<bool> { let lo = max(fq - lk, 0); let hi = lq - fk; return vec2((hi >= 0) && ((lo < 64) || (hi / 64 * 64 >= lo)), (fq >= lk) && (hi < 64)); }";
    let strided_hand = || {
        Mask::custom(
            CustomMask::new("hand", STRIDED, |p| {
                p.key <= p.query && (p.query - p.key < 64 || (p.query - p.key) % 64 == 0)
            })
            .unwrap()
            .with_tiles(),
        )
    };
    let (heads, cases): (usize, Vec<(&str, usize, Make)>) = match what {
        "blocks" => (1, vec![("dense", 4096, plain(Mask::full())), ("blocks", 4096, plain(layout(4096)))]),
        "longformer" => (
            1,
            vec![
                ("dense", 8192, plain(Mask::full())),
                ("longformer 256", 8192, longformer(8192, 128, 127)),
                ("longformer 512", 8192, longformer(8192, 256, 256)),
                ("window", 8192, plain(Mask::window(128, 127))),
            ],
        ),
        "window" => (
            4,
            vec![
                ("ranges", 4096, plain(Mask::window(128, 127))),
                ("runs", 4096, plain(Mask::window(128, 127) | Mask::window(0, 0))),
                ("by hand", 4096, plain(hand())),
            ],
        ),
        "strided" => (
            4,
            vec![
                ("strided", 4096, plain(Mask::strided(64))),
                ("by hand", 4096, plain(strided_hand())),
                ("log sparse", 4096, plain(Mask::log_sparse(LogSparse { local: 16, restart: None }))),
            ],
        ),
        "scores" => (
            4,
            vec![
                ("causal", 1024, plain(Mask::causal())),
                (
                    "alibi",
                    1024,
                    Box::new(|g: &mut Graph, _: &mut Vec<(String, HostTensor)>| {
                        let s = ops::constant(g, HostTensor::f32([4], alibi_slopes(4)).unwrap()).unwrap();
                        Blocked::new().mask(Mask::causal()).score(Score::alibi(s))
                    }),
                ),
                (
                    "alibi by hand",
                    1024,
                    Box::new(|_: &mut Graph, _: &mut Vec<(String, HostTensor)>| {
                        Blocked::new().mask(Mask::causal()).score(Score::custom(CustomScore::new("ali", "fn ali(batch: u32, head: u32, query: i32, key: i32, s: f32) -> f32 { return s - exp2(-2.0 * f32(head + 1u)) * f32(abs(query - key)); }
fn ali_slope(batch: u32, head: u32, query: i32, key: i32, s: f32) -> f32 { return 1.0; }", |_, s| s).unwrap().with_slope(|_, _| 1.0)))
                    }),
                ),
                (
                    "buckets",
                    1024,
                    Box::new(|g: &mut Graph, _: &mut Vec<(String, HostTensor)>| {
                        let s = ops::constant(g, HostTensor::f32([32, 4], vec![0.5; 128]).unwrap()).unwrap();
                        Blocked::new().mask(Mask::causal()).score(Score::buckets(
                            s,
                            Buckets { count: 32, max_distance: 128, bidirectional: false },
                        ))
                    }),
                ),
                (
                    "gaussian",
                    1024,
                    Box::new(|g: &mut Graph, _: &mut Vec<(String, HostTensor)>| {
                        let s = ops::constant(g, HostTensor::f32([4], vec![20.0; 4]).unwrap()).unwrap();
                        Blocked::new().mask(Mask::causal()).score(Score::gaussian(s))
                    }),
                ),
                (
                    "bias",
                    1024,
                    Box::new(|g: &mut Graph, inputs: &mut Vec<(String, HostTensor)>| {
                        let t = HostTensor::f32([1, 4, 1024, 1024], vec![0.5; 4 << 20]).unwrap();
                        let s = g.input("bias", t.desc()).unwrap();
                        inputs.push(("bias".into(), t));
                        Blocked::new().mask(Mask::causal()).score(Score::bias(s))
                    }),
                ),
                (
                    "relative",
                    1024,
                    Box::new(|g: &mut Graph, _: &mut Vec<(String, HostTensor)>| {
                        let s = ops::constant(g, HostTensor::f32([1024, 4, 64], vec![0.1; 1 << 18]).unwrap())
                            .unwrap();
                        Blocked::new().mask(Mask::causal()).score(Score::relative_keys(s, None, None, 0))
                    }),
                ),
            ],
        ),
        _ => panic!(),
    };
    let mut sessions: Vec<Session> =
        cases.iter().map(|(_, time, make)| session(&context, *time, heads, backward, make)).collect();
    let mut best = vec![Duration::MAX; cases.len()];
    for _ in 0..args.get(3).map_or(4, |n| n.parse().unwrap()) {
        for (i, s) in sessions.iter_mut().enumerate() {
            let t = s.run().unwrap();
            best[i] = best[i].min(t.gpu.unwrap_or(t.wall));
        }
    }
    for (i, (name, ..)) in cases.iter().enumerate() {
        println!(
            "{name:16} {:9.2} ms   {:.2}x first",
            best[i].as_secs_f64() * 1e3,
            best[0].as_secs_f64() / best[i].as_secs_f64()
        );
        let mut p = sessions[i].profile().unwrap();
        for _ in 0..2 {
            for (a, b) in p.iter_mut().zip(sessions[i].profile().unwrap()) {
                a.time = a.time.min(b.time);
            }
        }
        println!(
            "      {}",
            p.iter()
                .map(|d| format!(
                    "{} {:.2}",
                    d.shader.rsplit('/').next().unwrap(),
                    d.time.as_secs_f64() * 1e3
                ))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
}
