//! What is printed behind the tests: how far off results were, what was not compared, and what is missing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::compare::Deviation;

/// How a case went.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The deviation that took most of what it may be, and of which tensor.
    worst: Option<(Deviation, String)>,
    /// What the file holds beside.
    not_compared: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, device: &str, name: &str, deviation: Deviation) {
        if self.worst.as_ref().is_none_or(|(worst, _)| deviation.share() > worst.share()) {
            self.worst = Some((deviation, format!("{name} on {device}")));
        }
    }

    pub(crate) fn not_compared(&mut self, names: impl IntoIterator<Item = String>) {
        self.not_compared.extend(names);
    }

    /// With what another part of the case told.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let larger = match (&self.worst, &other.worst) {
            (Some((own, _)), Some((others, _))) => own.share() < others.share(),
            (own, _) => own.is_none(),
        };
        if larger {
            self.worst = other.worst;
        }
        self.not_compared.extend(other.not_compared);
        self
    }
}

/// The reports of all cases, and entries of the root folder that are no folder of cases.
#[derive(Debug, Default)]
pub(crate) struct Results {
    reports: Mutex<BTreeMap<String, Report>>,
    unread: Mutex<Vec<String>>,
}

impl Results {
    pub(crate) fn add(&self, case: String, report: Report) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(case, report);
    }

    pub(crate) fn set_unread(&self, names: Vec<String>) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// `tests` are names, and whether each is missing.
    pub(crate) fn print(&self, tests: &[(String, bool)]) {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        print_counts(&reports, tests);
        for (name, Report { not_compared, .. }) in reports.iter() {
            if !not_compared.is_empty() {
                println!("{name}: not compared: {}", not_compared.join(", "));
            }
        }
        let worst = reports.iter().filter_map(|(name, report)| Some((name, report.worst.as_ref()?)));
        let share = |(_, (deviation, _)): &(&String, &(Deviation, String))| deviation.share();
        if let Some((name, (deviation, tensor))) = worst.max_by(|a, b| share(a).total_cmp(&share(b))) {
            println!("closest to its bound: {name}, {tensor}: {deviation}");
        }
        let is_missing = |(name, is_missing): &(String, bool)| is_missing.then(|| name.clone());
        let missing: Vec<String> = tests.iter().filter_map(is_missing).collect();
        println!("missing: {} of {}: {}", missing.len(), tests.len(), missing.join(", "));
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if !unread.is_empty() {
            println!("no folders of cases: {}", unread.join(", "));
        }
    }
}

fn print_counts(reports: &BTreeMap<String, Report>, tests: &[(String, bool)]) {
    let mut folders: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (name, is_missing) in tests {
        let [passed, missing, others] =
            folders.entry(name.split('/').next().unwrap_or_default()).or_default();
        let count = match is_missing {
            true => missing,
            false if reports.contains_key(name) => passed,
            false => others,
        };
        *count += 1;
    }
    for (folder, [passed, missing, others]) in folders {
        println!("{folder}: {passed} passed, {others} failed or not run, {missing} missing");
    }
}
