//! Contracts with named axes: an axis gets its extent from the first argument that has it, and every later argument must
//! agree, so each message names op, argument, axis, expected and found.

#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub, reason = "public with the feature `unstable`"))]

use std::fmt::Display;

use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// The extents of an argument that is to be of rank `N`.
pub(crate) fn extents<const N: usize>(
    op: &'static str,
    argument: &'static str,
    desc: &TensorDesc,
) -> Result<[usize; N]> {
    desc.shape.dims().try_into().map_err(|_| {
        Error::new(ErrorKind::Shape, op, argument).expecting(format!("rank {N}")).but_found(format!(
            "rank {} {}",
            desc.shape.rank(),
            desc.shape
        ))
    })
}

/// What an op demands of its inputs, checked argument by argument: each message names op, argument, axis, expected and found.
#[derive(Debug)]
pub struct Contract {
    op: &'static str,
    may_be_empty: &'static [&'static str],
    bound: Vec<(&'static str, usize, &'static str)>,
}

impl Contract {
    /// A contract of `op`, which messages name, with no axis bound yet.
    pub fn new(op: &'static str) -> Self {
        Self { op, may_be_empty: &[], bound: Vec::new() }
    }

    /// Axes that may have extent 0; all others must have at least one element.
    pub fn may_be_empty(mut self, axes: &'static [&'static str]) -> Self {
        self.may_be_empty = axes;
        self
    }

    /// Refuses any other number of inputs than `arguments` has names.
    pub fn count(&self, inputs: &[TensorDesc], arguments: &[&str]) -> Result<()> {
        if inputs.len() == arguments.len() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, self.op, "inputs")
            .expecting(format!("{} ({})", arguments.len(), arguments.join(", ")))
            .but_found(inputs.len()))
    }

    /// Binds the axes of `argument` in order, or compares them with what is bound.
    pub fn bind(&mut self, argument: &'static str, desc: &TensorDesc, axes: &[&'static str]) -> Result<()> {
        let dims = desc.shape.dims();
        if dims.len() != axes.len() {
            return Err(self
                .shape_error(argument)
                .expecting(format!("rank {} [{}]", axes.len(), axes.join(", ")))
                .but_found(format!("rank {} {}", dims.len(), desc.shape)));
        }
        for (position, (&axis, &extent)) in axes.iter().zip(dims).enumerate() {
            if extent == 0 && !self.may_be_empty.contains(&axis) {
                return Err(self
                    .shape_error(argument)
                    .expecting(format!("axis {position} ({axis}) of at least 1"))
                    .but_found(0));
            }
            match self.bound.iter().find(|(name, ..)| *name == axis) {
                None => self.bound.push((axis, extent, argument)),
                Some(&(_, bound, by)) if bound != extent => {
                    return Err(self
                        .shape_error(argument)
                        .expecting(format!("axis {position} ({axis}) = {bound} as bound by {by}"))
                        .but_found(extent));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The extent of a bound axis; 0 for one that no argument has.
    pub fn extent(&self, axis: &str) -> usize {
        self.bound.iter().find(|(name, ..)| *name == axis).map_or(0, |&(_, extent, _)| extent)
    }

    /// Refuses an element type that is not a float.
    pub fn float(&self, argument: impl Display, desc: &TensorDesc) -> Result<()> {
        if desc.dtype.is_float() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Dtype, self.op, argument).expecting("f32 or f16").but_found(desc.dtype))
    }

    /// Refuses an element type that is not an integer.
    pub fn integer(&self, argument: impl Display, desc: &TensorDesc) -> Result<()> {
        if desc.dtype.is_integer() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Dtype, self.op, argument).expecting("i32 or u32").but_found(desc.dtype))
    }

    /// Refuses any other element type than `dtype`.
    pub fn dtype(&self, argument: impl Display, desc: &TensorDesc, dtype: DType) -> Result<()> {
        if desc.dtype == dtype {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Dtype, self.op, argument).expecting(dtype).but_found(desc.dtype))
    }

    /// Refuses another element type or shape than those of `of`, the argument `name`.
    pub fn same(
        &self,
        argument: &'static str,
        desc: &TensorDesc,
        name: &'static str,
        of: &TensorDesc,
    ) -> Result<()> {
        self.dtype(argument, desc, of.dtype)?;
        if desc.shape == of.shape {
            return Ok(());
        }
        Err(self.shape_error(argument).expecting(format!("{} as of {name}", of.shape)).but_found(&desc.shape))
    }

    /// An error about the shape of `argument`, for checks that axes do not express.
    pub fn shape_error(&self, argument: impl Display) -> Error {
        Error::new(ErrorKind::Shape, self.op, argument)
    }

    /// An error about a setting.
    pub fn argument_error(&self, argument: &'static str) -> Error {
        Error::new(ErrorKind::Argument, self.op, argument)
    }
}

/// A count as a shader's `u32`. Fails when it does not fit, because indices are 32-bit on the device.
pub(crate) fn to_u32(op: &'static str, argument: &'static str, count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| {
        Error::new(ErrorKind::Limit, op, argument).expecting(format!("at most {}", u32::MAX)).but_found(count)
    })
}
