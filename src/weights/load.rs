//! Weights ready to be used: what was declared, in one element type, converted when asked for.

use super::checkpoint::Checkpoint;
use super::declare::{Declaration, Declarations};
use super::{convert, quote, random};
use crate::{DType, Error, ErrorKind, HostTensor, Result, TensorDesc};

/// The declared weights of a model, each converted when it is asked for. The files' bytes stay in memory, unless they are mapped
/// ([`Checkpoint::map`]), beside what is made of them.
#[derive(Clone, Debug)]
pub struct Weights {
    declarations: Declarations,
    dtype: DType,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Stored(Checkpoint),
    Random(u64),
}

impl Checkpoint {
    /// The weights of `declarations`, as `dtype` (f32 or f16).
    ///
    /// Fails with one [`ErrorKind::Weights`] that lists everything [`Checkpoint::compare`] finds, and with
    /// [`ErrorKind::Dtype`] for another type.
    pub fn load(&self, declarations: &Declarations, dtype: DType) -> Result<Weights> {
        convert::check_target(dtype)?;
        let comparison = self.compare(declarations);
        if !comparison.is_complete() {
            let error = Error::new(ErrorKind::Weights, self.source().to_owned(), "tensors")
                .expecting("what the model declares")
                .but_found(format!("differences:\n{comparison}"));
            return Err(comparison.hint().into_iter().fold(error, Error::with_hint));
        }
        Ok(Weights { declarations: declarations.clone(), dtype, source: Source::Stored(self.clone()) })
    }
}

impl Weights {
    /// Seeded small numbers for `declarations`, to run an architecture without a file: uniform in ±1/sqrt(fan-in), the
    /// fan-in being the last axis, whatever a weight is for. Fails when `dtype` is not a float.
    pub fn random(declarations: &Declarations, dtype: DType, seed: u64) -> Result<Self> {
        convert::check_target(dtype)?;
        Ok(Self { declarations: declarations.clone(), dtype, source: Source::Random(seed) })
    }

    /// The element type of every tensor.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of all weights on a device, each a whole number of words.
    pub fn bytes(&self) -> u64 {
        let bytes =
            |declaration: &Declaration| TensorDesc::new(self.dtype, declaration.shape.clone()).buffer_bytes();
        self.declarations.list().iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Canonical names and tensors, in the order of declaration. Converts one at a time; an item fails as
    /// [`Weights::get`] does.
    pub fn iter(&self) -> impl Iterator<Item = Result<(String, HostTensor)>> {
        self.declarations
            .list()
            .iter()
            .map(|declaration| Ok((declaration.name.clone(), self.convert(declaration)?)))
    }

    /// The weight of that canonical name.
    ///
    /// Fails with [`ErrorKind::Weights`] when it was not declared, or an element is not finite (in the file, or as f16).
    pub fn get(&self, name: &str) -> Result<HostTensor> {
        let declaration = self.declarations.find(name).ok_or_else(|| {
            Error::new(ErrorKind::Weights, "weights", format!("`{}`", quote::name(name)))
                .expecting("a declared weight")
                .but_found("no declaration")
        })?;
        self.convert(declaration)
    }

    fn convert(&self, declaration: &Declaration) -> Result<HostTensor> {
        match &self.source {
            Source::Random(seed) => random::tensor(declaration, self.dtype, *seed),
            Source::Stored(checkpoint) => {
                let (name, tensor) = checkpoint.find(declaration).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Weights,
                        checkpoint.source().to_owned(),
                        quote::name(&declaration.name),
                    )
                    .expecting("the tensor that was there when it was loaded")
                    .but_found("none")
                })?;
                convert::read(name, &tensor, &declaration.shape, self.dtype)
            }
        }
    }
}
