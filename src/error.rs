//! The one error of the crate: what went wrong, where, what was expected and what was found.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::sync::Arc;

/// What kind of thing went wrong, for callers that react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A shape, rank or axis does not fit the op or the file.
    Shape,
    /// An element type the op does not take, or an unknown name of one.
    Dtype,
    /// A setting of an op or a flag that has no meaning (a scale that is not finite, a name given twice).
    Argument,
    /// The loss of a training stopped being a finite number.
    Diverged,
    /// A run computed a NaN or an infinity in a tensor that its plan checks ([`crate::plan::Watch`]).
    NotFinite,
    /// A gradient was asked for through an op that has none.
    NotDifferentiable,
    /// A buffer bound to a program is missing, too small, of the wrong usage, or bound twice.
    Binding,
    /// The adapter's or device's limit is lower than what the plan needs.
    Limit,
    /// The adapter or device lacks a feature (f16 storage, for example).
    Unsupported,
    /// A shader does not parse, validate, or match its host description: a defect of the crate, unless the place is in a rule of yours.
    Shader,
    /// No adapter answers to what was asked for.
    NoAdapter,
    /// The device was lost or destroyed.
    DeviceLost,
    /// The device has no memory left for what was asked for.
    OutOfMemory,
    /// The device refused an operation for another reason.
    Device,
    /// A file is missing, cannot be read or written, or is not of its format; of models' files see the two kinds below.
    Io,
    /// Weights missing, unexpected, misshapen, or in a file that is damaged.
    Weights,
    /// A tuning profile of another adapter, driver or version of this crate: callers may go on without it.
    Foreign,
    /// A configuration, vocabulary or tuning profile that is damaged, or a field of it absent, unknown or nonsensical.
    Config,
}

/// One sentence with the numbers: which op or call, which argument, what was expected, what was found.
///
/// ```
/// use foveate::{ErrorKind, Graph, TensorDesc, ops};
///
/// let mut graph = Graph::new();
/// let a = graph.input("a", TensorDesc::f32([2, 3])).unwrap();
/// let b = graph.input("b", TensorDesc::f32([4, 5])).unwrap();
/// let error = ops::matmul(&mut graph, a, b, &ops::Matmul::new()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// assert_eq!(error.to_string(), "matmul: b: expected axis 0 (inner) = 3 as bound by a, found 4");
/// ```
///
/// An error of another library or of the system is part of the sentence; [`std::error::Error::source`] also has it as a value
/// (`error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>())`). Two errors are equal when their kinds, sentences and sources' texts
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    kind: ErrorKind,
    op: Cow<'static, str>,
    argument: String,
    expected: String,
    found: String,
    hint: Option<String>,
    cause: Option<Cause>,
}

/// The error of another library or the system behind one of ours.
#[derive(Clone, Debug)]
struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|Cause(cause)| &**cause as &(dyn std::error::Error + 'static))
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` about `argument` of `op`; the numbers follow through [`Error::expected`] and [`Error::found`].
    pub fn new(kind: ErrorKind, op: impl Into<Cow<'static, str>>, argument: impl Display) -> Self {
        Self(Box::new(Detail {
            kind,
            op: op.into(),
            argument: argument.to_string(),
            expected: String::new(),
            found: String::new(),
            hint: None,
            cause: None,
        }))
    }

    /// Says what would have been right.
    #[must_use]
    pub fn expecting(mut self, expected: impl Display) -> Self {
        self.0.expected = expected.to_string();
        self
    }

    /// Says what was there instead.
    #[must_use]
    pub fn but_found(mut self, found: impl Display) -> Self {
        self.0.found = found.to_string();
        self
    }

    /// Keeps the error of another library or the system as [`source`](std::error::Error::source). Its text becomes what was found, unless
    /// [`Error::but_found`] was called before.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        if self.0.found.is_empty() {
            self.0.found = cause.to_string();
        }
        self.0.cause = Some(Cause(Arc::new(cause)));
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Display) -> Self {
        self.0.hint = Some(hint.to_string());
        self
    }

    /// The same error under another op, call or file name: the one that the user called.
    #[must_use]
    pub fn within(mut self, op: impl Into<Cow<'static, str>>) -> Self {
        self.0.op = op.into();
        self
    }

    /// Adds to what [`Error::hint`] says.
    #[must_use]
    pub(crate) fn with_another_hint(self, hint: &str) -> Self {
        let all = self.hint().map_or_else(|| hint.to_owned(), |first| format!("{first}; {hint}"));
        self.with_hint(all)
    }

    /// The kind, for callers that react to it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The op, call or file that refused.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The argument, flag, binding or limit at fault.
    pub fn argument(&self) -> &str {
        &self.0.argument
    }

    /// What would have been right.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// What was there instead.
    pub fn found(&self) -> &str {
        &self.0.found
    }

    /// What the reader can do about it, where there is advice to give.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    fn sentence(&self) -> String {
        let Detail { op, argument, expected, found, hint, .. } = &*self.0;
        let mut sentence = format!("{op}: {argument}");
        if !expected.is_empty() {
            sentence += &format!(": expected {expected}");
        }
        if !found.is_empty() {
            sentence += if expected.is_empty() { ": " } else { ", found " };
            sentence += found;
        }
        if let Some(hint) = hint {
            sentence += &format!(" ({hint})");
        }
        sentence
    }
}
