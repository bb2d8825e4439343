//! Ops by the names that users write.

use std::sync::Arc;

use foveate::check::{Case, gradient_case};
use foveate::ops::{CATALOGUE, Entry};
use foveate::{Error, ErrorKind, Result};

/// The op called `name`, which is the value of `argument` of `command`. An error names all ops, and the one that is meant most likely.
pub(crate) fn entry(command: &'static str, argument: &str, name: &str) -> Result<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
        let error = Error::new(ErrorKind::Argument, command, argument)
            .expecting(names.join(", "))
            .but_found(format!("`{}`", crate::output::one_line(name, 100)));
        match nearest(name, &names) {
            Some(nearest) => error.with_hint(format!("the nearest is `{nearest}`")),
            None => error,
        }
    })
}

/// The cases of an op, each with the case of its gradients behind it where it has any.
pub(crate) fn cases(entry: &Entry) -> Result<Vec<Arc<Case>>> {
    let mut cases = Vec::new();
    for case in (entry.cases)().into_iter().map(Arc::new) {
        cases.push(case.clone());
        cases.extend(gradient_case(&case)?.map(Arc::new));
    }
    Ok(cases)
}

/// The one of `names` that takes the fewest edits to be `name`, whole or behind its folder; none where half of `name` would change.
fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    // Nobody means an op by what is longer than any, and edits of it take long to count.
    if name.len() > 100 {
        return None;
    }
    let edits_to = |full: &str| {
        let own = full.rsplit('/').next().unwrap_or(full);
        edits(name, full).min(edits(name, own))
    };
    let (edits, nearest) = names.iter().map(|full| (edits_to(full), *full)).min()?;
    (2 * edits <= name.chars().count()).then_some(nearest)
}

/// Characters to insert, delete or replace between `from` and `to`.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("gelu", "gelu", 0)]
        {
            assert_eq!((edits(from, to), edits(to, from)), (count, count), "{from}, {to}");
        }
    }

    #[test]
    fn the_nearest_name_is_whole_or_behind_its_folder() {
        let names = ["attention/blocked", "elementwise/add", "softmax"];
        assert_eq!(nearest("sotfmax", &names), Some("softmax"));
        assert_eq!(nearest("ad", &names), Some("elementwise/add"));
        assert_eq!(nearest("attention/bloked", &names), Some("attention/blocked"));
        assert_eq!(nearest("q", &names), None);
    }
}
