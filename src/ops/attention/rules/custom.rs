//! Rules that users write: WGSL for devices, and a reference in Rust for CPUs.

use std::fmt;
use std::sync::Arc;

use super::layout::OP;
use crate::kernel::{Generated, Signature, WgslType, check_user_wgsl};
use crate::{Error, ErrorKind, Result};

/// A pair of query and key, as rules are asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The batch item.
    pub batch: usize,
    /// The query head.
    pub head: usize,
    /// The query, counted from the first of the step; its position where [`Blocked::query_start`](super::super::Blocked::query_start) is set.
    pub query: usize,
    /// The key's position.
    pub key: usize,
}

const SEES: Signature = Signature {
    arguments: &[
        ("batch", WgslType::U32),
        ("head", WgslType::U32),
        ("query", WgslType::I32),
        ("key", WgslType::I32),
    ],
    result: WgslType::Bool,
};

const MEETS: Signature = Signature {
    arguments: &[
        ("batch", WgslType::U32),
        ("head", WgslType::U32),
        ("first_query", WgslType::I32),
        ("last_query", WgslType::I32),
        ("first_key", WgslType::I32),
        ("last_key", WgslType::I32),
    ],
    result: WgslType::TwoBools,
};

const SCORES: Signature = Signature {
    arguments: &[
        ("batch", WgslType::U32),
        ("head", WgslType::U32),
        ("query", WgslType::I32),
        ("key", WgslType::I32),
        ("score", WgslType::F32),
    ],
    result: WgslType::F32,
};

type MaskReference = dyn Fn(Pair) -> bool + Send + Sync;
type ScoreReference = dyn Fn(Pair, f64) -> f64 + Send + Sync;

/// A mask rule of your own: a WGSL function
///
/// ```wgsl
/// fn name(batch: u32, head: u32, query: i32, key: i32) -> bool
/// ```
///
/// and its reference, the same function in Rust. Combine it with rules that say where it shows anything at all (`Mask::custom(rule) & Mask::window(64, 64)`): by itself
/// it is asked about every pair. `check::compare_custom_rule` tells whether WGSL and reference agree.
#[derive(Clone)]
pub struct CustomMask {
    pub(super) name: String,
    pub(super) wgsl: String,
    pub(super) reference: Arc<MaskReference>,
    pub(super) has_tiles: bool,
}

impl CustomMask {
    /// The rule whose WGSL function is called `name`. `wgsl` may hold further functions, constants and types under names that begin with
    /// `name`, and nothing else: no directives, variables or entry points. It compiles by itself and has up to 16,384 characters, 256
    /// operators in each statement and 128 times `else`.
    ///
    /// Fails with [`ErrorKind::Argument`](crate::ErrorKind::Argument) when `name` is no identifier, and with
    /// [`ErrorKind::Shader`](crate::ErrorKind::Shader), naming the line of `wgsl`, when that does not compile or the function is missing
    /// or has another signature. A name that the crate's own shaders have, too, is known only when a program is made.
    pub fn new(
        name: &str,
        wgsl: impl Into<String>,
        reference: impl Fn(Pair) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let wgsl = wgsl.into();
        check(name, &wgsl, [(name.to_owned(), SEES)])?;
        Ok(Self { name: name.to_owned(), wgsl, reference: Arc::new(reference), has_tiles: false })
    }

    /// States that the WGSL has a second function, which says of a tile of pairs, all bounds inclusive, whether any of them may be visible and
    /// whether all of them certainly are:
    ///
    /// ```wgsl
    /// fn name_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool>
    /// ```
    ///
    /// A tile of queries whose visible keys form more than 64 separate ranges evaluates every pair all the same.
    ///
    /// Fails as [`CustomMask::new`] does when the WGSL has no such function.
    pub fn with_tiles(self) -> Result<Self> {
        check(&self.name, &self.wgsl, [(format!("{}_tile", self.name), MEETS)])?;
        Ok(Self { has_tiles: true, ..self })
    }

    /// Whether both are clones of one rule.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.reference, &other.reference) && self.has_tiles == other.has_tiles
    }

    pub(super) fn part(&self) -> Generated {
        part(&self.name, &self.wgsl)
    }
}

impl fmt::Debug for CustomMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomMask({})", self.name)
    }
}

/// A score rule of your own: a WGSL function
///
/// ```wgsl
/// fn name(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32
/// ```
///
/// which takes a score, as earlier rules have left it, and returns the score to use in its place; and its reference, the same function in Rust.
#[derive(Clone)]
pub struct CustomScore {
    pub(super) name: String,
    pub(super) wgsl: String,
    pub(super) reference: Arc<ScoreReference>,
    pub(super) slope: Option<Arc<ScoreReference>>,
}

impl CustomScore {
    /// The rule whose WGSL function is called `name`; see [`CustomMask::new`]. Gradients through it are refused until it has a slope.
    pub fn new(
        name: &str,
        wgsl: impl Into<String>,
        reference: impl Fn(Pair, f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        let wgsl = wgsl.into();
        check(name, &wgsl, [(name.to_owned(), SCORES)])?;
        Ok(Self { name: name.to_owned(), wgsl, reference: Arc::new(reference), slope: None })
    }

    /// States that the WGSL has a second function, `name_slope`, of the same arguments: the derivative by `score`. `reference` is the
    /// same in Rust.
    ///
    /// Fails as [`CustomScore::new`] does when the WGSL has no such function.
    pub fn with_slope(self, reference: impl Fn(Pair, f64) -> f64 + Send + Sync + 'static) -> Result<Self> {
        check(&self.name, &self.wgsl, [(format!("{}_slope", self.name), SCORES)])?;
        Ok(Self { slope: Some(Arc::new(reference)), ..self })
    }

    pub(in crate::ops::attention) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::ops::attention) fn has_slope(&self) -> bool {
        self.slope.is_some()
    }

    pub(super) fn part(&self) -> Generated {
        part(&self.name, &self.wgsl)
    }
}

impl fmt::Debug for CustomScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomScore({})", self.name)
    }
}

fn part(name: &str, wgsl: &str) -> Generated {
    Generated { label: format!("custom rule `{name}`"), text: wgsl.to_owned(), by_user: true }
}

fn check(name: &str, wgsl: &str, functions: [(String, Signature); 1]) -> Result<()> {
    check_user_functions(OP, "custom rule", name, wgsl, functions)
}

/// Refuses a name that is no identifier, and a text that lacks one of `functions` or has what [`check_user_wgsl`] refuses. `what` is what
/// users write with it.
pub(in crate::ops::attention) fn check_user_functions(
    op: &'static str,
    what: &str,
    name: &str,
    wgsl: &str,
    functions: [(String, Signature); 1],
) -> Result<()> {
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
    if !starts || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(Error::new(ErrorKind::Argument, op, format!("name of a {what}"))
            .expecting("a letter, then letters, digits and underscores")
            .but_found(format!("`{name}`")));
    }
    check_user_wgsl(op, &format!("{what} `{name}`"), name, wgsl, &functions)
}
