//! Declarations: the names and shapes of the weights that a model needs, before any file is opened.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::quote;
use crate::{Error, ErrorKind, Result, Shape};

/// A weight that a model needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// Its full path, dots between the segments.
    pub name: String,
    /// Its extents, outermost first.
    pub shape: Shape,
    /// Other full paths it may have in files.
    pub aliases: Vec<String>,
}

/// A declared weight, to be remembered by the layer that uses it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    name: Arc<str>,
    shape: Shape,
}

impl Weight {
    /// The full path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Extents of the axes, outermost first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// Everything a model declares, in the order of declaration.
///
/// ```
/// use foveate::weights::Declarations;
///
/// let mut declarations = Declarations::new();
/// let mut root = declarations.root();
/// let mut layer = root.at(format_args!("encoder.layer.{}", 0));
/// let query = layer.at("attention").weight("query.weight", [384, 384])?;
/// layer.at("LayerNorm").weight_or(&["weight", "gamma"], [384])?;
/// root.ignore("pooler");
///
/// assert_eq!(query.name(), "encoder.layer.0.attention.query.weight");
/// assert_eq!(declarations.list()[1].aliases, ["encoder.layer.0.LayerNorm.gamma"]);
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    list: Vec<Declaration>,
    /// Every name and alias, and the tied copies: which declaration it means.
    claimed: BTreeMap<String, Claim>,
    ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Claim {
    Name(usize),
    Alias(usize),
    Copy(usize),
}

impl Claim {
    /// Whether a name that means this may be declared to mean `later`.
    fn allows(self, later: Self) -> bool {
        self == later || matches!((self, later), (Self::Alias(of), Self::Copy(copied)) if of == copied)
    }
}

impl Declarations {
    /// Nothing declared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The outermost scope.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { path: String::new(), declarations: self }
    }

    /// The declared weights.
    pub fn list(&self) -> &[Declaration] {
        &self.list
    }

    /// The paths under which files may hold tensors that the model does not use.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The names that files may hold as copies of a weight, each with that weight.
    pub fn tied(&self) -> impl Iterator<Item = (&str, &Declaration)> {
        self.claimed.iter().filter_map(|(name, claim)| match claim {
            Claim::Copy(of) => Some((name.as_str(), &self.list[*of])),
            Claim::Name(_) | Claim::Alias(_) => None,
        })
    }

    /// The declaration whose canonical name this is.
    pub fn find(&self, name: &str) -> Option<&Declaration> {
        match self.claimed.get(name)? {
            Claim::Name(index) => Some(&self.list[*index]),
            Claim::Alias(_) | Claim::Copy(_) => None,
        }
    }

    /// Whether `name` lies under an ignored path.
    pub(super) fn is_ignored(&self, name: &str) -> bool {
        self.ignored.iter().any(|path| {
            path.is_empty()
                || name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Notes what `names` mean; all of them or, when one means something else already, none. An alias may be a copy of its own weight, too.
    fn claim(&mut self, names: &[(&str, Claim)]) -> Result<()> {
        for (at, (name, claim)) in names.iter().enumerate() {
            let before = names[..at].iter().find_map(|(other, claim)| (other == name).then_some(claim));
            if self.claimed.get(*name).or(before).is_some_and(|before| !before.allows(*claim)) {
                return Err(Error::new(ErrorKind::Weights, "declare", format!("`{}`", quote::name(name)))
                    .expecting("a name that means one weight")
                    .but_found("a second meaning"));
            }
        }
        self.claimed.extend(names.iter().map(|(name, claim)| ((*name).to_owned(), *claim)));
        Ok(())
    }

    fn declare(&mut self, name: String, aliases: Vec<String>, shape: Shape) -> Result<Weight> {
        let weight = Weight { name: Arc::from(name.as_str()), shape: shape.clone() };
        if let Some(&Claim::Name(index)) = self.claimed.get(&name) {
            let first = &self.list[index];
            if first.shape != shape || first.aliases != aliases {
                return Err(Error::new(ErrorKind::Weights, "declare", format!("`{}`", quote::name(&name)))
                    .expecting(format!("{} {:?}, as first declared", first.shape, first.aliases))
                    .but_found(format!("{shape} {aliases:?}")));
            }
            return Ok(weight);
        }
        let index = self.list.len();
        let mut claims = vec![(name.as_str(), Claim::Name(index))];
        claims.extend(aliases.iter().map(|alias| (alias.as_str(), Claim::Alias(index))));
        self.claim(&claims)?;
        self.list.push(Declaration { name, shape, aliases });
        Ok(weight)
    }
}

/// A path in a model, such as `encoder.layer.0`, under which weights are declared.
#[derive(Debug)]
pub struct Scope<'a> {
    declarations: &'a mut Declarations,
    path: String,
}

impl Scope<'_> {
    /// The scope one segment (or several, with dots) further down.
    pub fn at(&mut self, segment: impl Display) -> Scope<'_> {
        let path = self.join(&segment.to_string());
        Scope { declarations: self.declarations, path }
    }

    /// [`Scope::at`] of a scope that is not needed any more.
    pub(crate) fn into_at(self, segment: &str) -> Self
    where
        Self: Sized,
    {
        let path = self.join(segment);
        Self { path, ..self }
    }

    /// The path walked so far.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Declares a weight. The same name and shape again give the same weight, as layers that share weights need; the same
    /// name with another shape fails.
    pub fn weight(&mut self, name: &str, shape: impl Into<Shape>) -> Result<Weight> {
        self.declarations.declare(self.join(name), Vec::new(), shape.into())
    }

    /// Declares a weight that files know by several names: the first is its own, the others are looked for when a file lacks
    /// the first (`LayerNorm.gamma` in old BERT files). Fails like [`Scope::weight`], and without a name.
    pub fn weight_or(&mut self, names: &[&str], shape: impl Into<Shape>) -> Result<Weight> {
        let Some((name, aliases)) = names.split_first() else {
            return Err(Error::new(ErrorKind::Weights, "declare", format!("`{}`", self.path))
                .expecting("at least one name")
                .but_found(0));
        };
        let aliases = aliases.iter().map(|alias| self.join(alias)).collect();
        self.declarations.declare(self.join(name), aliases, shape.into())
    }

    /// Files may hold tensors at or under this path that the model does not use (`pooler`, `embeddings.position_ids`). A dot
    /// at the end changes nothing; an empty path is all the rest of the scope.
    pub fn ignore(&mut self, path: &str) {
        let path = self.join(path.trim_end_matches('.'));
        self.declarations.ignored.push(path);
    }

    /// Files may hold `to` a second time under `name` (a decoder tied to the embeddings). The copy must equal `to`; it is not
    /// loaded, unless it is an alias of `to` and the only one there. Fails when `to` was not declared here, or `name` has another meaning.
    pub fn tied(&mut self, name: &str, to: &Weight) -> Result<()> {
        let name = self.join(name);
        let Some(&Claim::Name(index)) = self.declarations.claimed.get(to.name()) else {
            return Err(Error::new(ErrorKind::Weights, "declare", format!("`{}`", quote::name(&name)))
                .expecting("a copy of a declared weight")
                .but_found(format!("a copy of `{}`", quote::name(to.name()))));
        };
        self.declarations.claim(&[(&name, Claim::Copy(index))])
    }

    fn join(&self, segment: &str) -> String {
        match (self.path.is_empty(), segment.is_empty()) {
            (true, _) => segment.to_owned(),
            (_, true) => self.path.clone(),
            _ => format!("{}.{segment}", self.path),
        }
    }
}
