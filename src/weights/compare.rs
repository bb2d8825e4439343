//! Compares the weights that a model declares with those that a checkpoint holds, and reports all differences at once.

use std::collections::BTreeSet;
use std::fmt;

use super::checkpoint::{Checkpoint, StoredTensor};
use super::convert;
use super::declare::{Declaration, Declarations};
use super::quote;
use crate::Shape;

/// Entries of each kind that the text lists.
const LISTED: usize = 20;

/// How a checkpoint differs from what a model declares. Its text lists every kind, at most 20 entries of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Declared and not in the files, under no alias either.
    pub missing: Vec<String>,
    /// In the files, and neither declared nor ignored nor tied. A second name of a weight that is there counts too.
    pub unexpected: Vec<String>,
    /// Name in the file, declared shape, stored shape.
    pub misshapen: Vec<(String, Shape, Shape)>,
    /// Name in the file and its element type, which is not F16, BF16, F32 or F64.
    pub unsupported: Vec<(String, String)>,
    /// Name of a tied copy, and of the weight that it should equal, byte for byte, and does not.
    pub differing: Vec<(String, String)>,
    /// In the files and ignored, as declared.
    pub ignored: Vec<String>,
    /// What stands before the names of declared weights in the files, where every missing one is there below it: `module.`, for one.
    pub prefix: Option<String>,
}

impl Comparison {
    /// Whether the weights can be loaded. Ignored tensors do not matter.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.misshapen.is_empty()
            && self.unsupported.is_empty()
            && self.differing.is_empty()
    }
}

impl Checkpoint {
    /// Compares the files with `declarations`. Reads headers, and of the contents only tied copies.
    pub fn compare(&self, declarations: &Declarations) -> Comparison {
        let mut comparison = Comparison::default();
        let mut used = BTreeSet::new();
        for declaration in declarations.list() {
            match self.find(declaration) {
                Some((name, tensor)) => {
                    used.insert(name);
                    comparison.check(name, &declaration.shape, &tensor);
                }
                None => comparison.missing.push(with_aliases(declaration)),
            }
        }
        for (copy, original) in declarations.tied() {
            if let Some(tensor) = self.tensor(copy) {
                used.insert(copy);
                let stored = self.find(original).map(|(_, stored)| stored);
                // A misshapen or missing original is listed already.
                let original_fits = stored.is_some_and(|stored| stored.shape() == original.shape.dims());
                if comparison.check(copy, &original.shape, &tensor)
                    && original_fits
                    && stored.is_some_and(|stored| !equal(&stored, &tensor))
                {
                    comparison.differing.push((copy.to_owned(), original.name.clone()));
                }
            }
        }
        for name in self.names().filter(|name| !used.contains(name)) {
            let list = if declarations.is_ignored(name) {
                &mut comparison.ignored
            } else {
                &mut comparison.unexpected
            };
            list.push(name.to_owned());
        }
        comparison.prefix = self.prefix(declarations, &comparison);
        comparison
    }

    /// What stands before every missing weight's name in the files.
    fn prefix(&self, declarations: &Declarations, comparison: &Comparison) -> Option<String> {
        let missing = || declarations.list().iter().filter(|declared| self.find(declared).is_none());
        let first = &missing().next()?.name;
        let of_first = |name: &String| {
            name.strip_suffix(first.as_str()).filter(|prefix| prefix.ends_with('.')).map(str::to_owned)
        };
        let mut prefixes = comparison.unexpected.iter().chain(&comparison.ignored).filter_map(of_first);
        prefixes.find(|prefix| {
            missing().all(|declared| {
                let mut names = std::iter::once(&declared.name).chain(&declared.aliases);
                names.any(|name| self.tensor(&format!("{prefix}{name}")).is_some())
            })
        })
    }

    /// Whether the files hold a weight, under any of its names, in its shape.
    pub(crate) fn holds(&self, declaration: &Declaration) -> bool {
        self.find(declaration).is_some_and(|(_, tensor)| tensor.shape() == declaration.shape.dims())
    }

    /// The tensor of `declaration` and the name it has here: its own before its aliases, in their order.
    pub(super) fn find<'a>(&'a self, declaration: &'a Declaration) -> Option<(&'a str, StoredTensor<'a>)> {
        let names = std::iter::once(&declaration.name).chain(&declaration.aliases);
        names.map(String::as_str).find_map(|name| Some((name, self.tensor(name)?)))
    }
}

impl Comparison {
    /// Whether shape and element type are what `declared` needs; lists what is not.
    fn check(&mut self, name: &str, declared: &Shape, tensor: &StoredTensor<'_>) -> bool {
        let fits = tensor.shape() == declared.dims();
        if !fits {
            self.misshapen.push((name.to_owned(), declared.clone(), tensor.shape().into()));
        }
        let supported = convert::is_supported(tensor.element());
        if !supported {
            self.unsupported.push((name.to_owned(), tensor.dtype()));
        }
        fits && supported
    }
}

fn equal(one: &StoredTensor<'_>, other: &StoredTensor<'_>) -> bool {
    one.element() == other.element() && one.bytes() == other.bytes()
}

fn with_aliases(declaration: &Declaration) -> String {
    match declaration.aliases.as_slice() {
        [] => declaration.name.clone(),
        aliases => format!("{} (or {})", declaration.name, aliases.join(", ")),
    }
}

impl Comparison {
    /// What may be done where the files have all missing weights under longer names.
    pub fn hint(&self) -> Option<String> {
        let prefix = quote::name(self.prefix.as_ref()?);
        let writer = if prefix.contains("module.") {
            ", as torch.nn.DataParallel writes it"
        } else if prefix.contains("_orig_mod.") {
            ", as torch.compile writes it"
        } else {
            ""
        };
        Some(format!("all missing tensors are there with `{prefix}` before their names{writer}: take it off"))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list(f, LISTED)
    }
}

impl Comparison {
    /// The text with every entry, however many there are.
    pub fn whole(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.list(&mut text, usize::MAX);
        text
    }

    /// At most `most` entries of each kind.
    fn list(&self, f: &mut dyn fmt::Write, most: usize) -> fmt::Result {
        let mut first = true;
        let mut list = |kind: &str, lines: &mut dyn Iterator<Item = String>, count: usize| {
            for line in lines.take(most) {
                write!(f, "{}{kind} {line}", if first { "" } else { "\n" })?;
                first = false;
            }
            if count > most { write!(f, "\n{kind}: and {} more", count - most) } else { Ok(()) }
        };
        let named =
            |names: &[String]| names.iter().map(|name| quote::name(name)).collect::<Vec<_>>().into_iter();
        list("missing", &mut named(&self.missing), self.missing.len())?;
        list("unexpected", &mut named(&self.unexpected), self.unexpected.len())?;
        let mut lines = self.misshapen.iter().map(|(name, expected, found)| {
            format!("{}: expected {expected}, found {}", quote::name(name), quote::shape(found.dims()))
        });
        list("misshapen", &mut lines, self.misshapen.len())?;
        let mut lines =
            self.unsupported.iter().map(|(name, dtype)| format!("{}: {dtype}", quote::name(name)));
        list("unsupported", &mut lines, self.unsupported.len())?;
        let pairs = |(copy, of): &(String, String)| {
            format!("{}: not equal to {}", quote::name(copy), quote::name(of))
        };
        list("differing", &mut self.differing.iter().map(pairs), self.differing.len())?;
        list("ignored", &mut named(&self.ignored), self.ignored.len())?;
        if first { f.write_str("no difference") } else { Ok(()) }
    }
}
