//! Scratch.
use foveate::check::{Outcome, Slopes, conform, gradient_case, slopes};
use foveate::gpu::{AdapterRequest, Context};
use foveate::kernel::{AdapterKind, Tuning};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (op, word, mode) = (&args[1], &args[2], args.get(3).map_or("own", |s| s.as_str()));
    let context = Context::headless(&AdapterRequest::Any).unwrap();
    let mut caps = context.caps().clone();
    if mode == "foreign" {
        caps.tuning = Tuning::for_adapter(AdapterKind::Discrete, None);
    }
    if mode == "cpu4" {
        caps.tuning = Tuning::for_adapter(AdapterKind::Cpu, None);
    }
    let (mut ok, mut bad) = (0, 0);
    for case in
        foveate::ops::all_cases().into_iter().filter(|c| c.op() == op && c.label().contains(word.as_str()))
    {
        let start = std::time::Instant::now();
        let case = std::sync::Arc::new(case);
        let line = match mode {
            "slopes" => match slopes(&case) {
                Ok(Slopes::Agree(x)) => {
                    ok += 1;
                    format!("ok {x:.3}")
                }
                other => {
                    bad += 1;
                    format!("BAD {other:?}")
                }
            },
            "gradient" => match gradient_case(&case) {
                Ok(Some(g)) => match conform(&g, &context, &caps) {
                    Outcome::Passed(d) => {
                        ok += 1;
                        format!("ok {:.3}", d.of_budget)
                    }
                    other => {
                        bad += 1;
                        format!("BAD {other:?}")
                    }
                },
                other => {
                    bad += 1;
                    format!("BAD {other:?}")
                }
            },
            _ => match conform(&case, &context, &caps) {
                Outcome::Passed(d) => {
                    ok += 1;
                    format!("ok {:.3}", d.of_budget)
                }
                other => {
                    bad += 1;
                    format!("BAD {other:?}")
                }
            },
        };
        println!("{line} {:.1}s {}", start.elapsed().as_secs_f32(), case.label());
    }
    println!("{ok} ok, {bad} bad");
}
