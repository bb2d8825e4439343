//! Every case planned with every choice of kernels.

use std::sync::Arc;

use foveate::check::{Case, gradient_case};
use foveate::{Caps, ErrorKind, Plan, ops};

use crate::choices::every_choice_of_kernels;

/// Hands every plan of the cases whose places `takes` says to `visit`; also those of a device whose bindings are too small for
/// some weights and tables, and of one that ends long loops.
pub(crate) fn every_plan(takes: impl Fn(u64) -> bool, mut visit: impl FnMut(&Plan)) {
    let choices = every_choice_of_kernels();
    for (_, case) in (0..).zip(with_gradients()).filter(|(place, _)| takes(*place)) {
        // Made once for all choices: random inputs take longer than plans.
        let problem = case.problem().unwrap_or_else(|error| panic!("{case:?}: {error}"));
        for caps in &choices {
            visit(&Plan::new(&problem.graph, caps).unwrap_or_else(|error| panic!("{case:?}: {error}")));
            let cramped = Caps { max_binding_bytes: 2048, storage_alignment: 4, ..caps.clone() };
            // Few enough that attention takes its keys, and its queries, in parts.
            let impatient = Caps { max_loop_turns: Some(2700), ..caps.clone() };
            let least = [Some(cramped), case.op().starts_with("attention").then_some(impatient)];
            for caps in least.iter().flatten() {
                match Plan::new(&problem.graph, caps) {
                    Ok(plan) => visit(&plan),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{case:?}: {error}"),
                }
            }
        }
    }
}

/// Every case of every op, and the gradients of each.
fn with_gradients() -> Vec<Arc<Case>> {
    let with_gradient = |case: Case| {
        let case = Arc::new(case);
        let gradient = gradient_case(&case).unwrap_or_else(|error| panic!("{case:?}: {error}"));
        [case].into_iter().chain(gradient.map(Arc::new))
    };
    ops::all_cases().into_iter().flat_map(with_gradient).collect()
}
