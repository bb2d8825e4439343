//! Every case planned with every choice of kernels.

use foveate::{Caps, ErrorKind, Plan, ops};

use crate::choices::every_choice_of_kernels;

/// Hands every plan of every case to `visit`; also those of a device whose bindings are too small for some weights and tables.
pub(crate) fn every_plan(mut visit: impl FnMut(&Plan)) {
    for caps in every_choice_of_kernels() {
        for case in ops::all_cases() {
            let problem = case.problem().unwrap_or_else(|error| panic!("{case:?}: {error}"));
            visit(&Plan::new(&problem.graph, &caps).unwrap_or_else(|error| panic!("{case:?}: {error}")));
            let cramped = Caps { max_binding_bytes: 2048, storage_alignment: 4, ..caps.clone() };
            match Plan::new(&problem.graph, &cramped) {
                Ok(plan) => visit(&plan),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{case:?}: {error}"),
            }
        }
    }
}
