//! Element types.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// How one element is stored. Arithmetic is f32 whatever the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float; needs a device with `SHADER_F16`.
    F16,
    /// 32-bit signed integer: lengths and ids.
    I32,
    /// 32-bit unsigned integer: ids.
    U32,
}

impl DType {
    /// Every element type.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::I32, Self::U32];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 => 2,
        }
    }

    /// Whether arithmetic ops take it.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }

    /// Whether it counts or names things: lengths, ids.
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::I32 | Self::U32)
    }

    /// The type's name, in Rust and in WGSL alike.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I32 => "i32",
            Self::U32 => "u32",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| {
            Error::new(ErrorKind::Dtype, "dtype", "name")
                .expecting(Self::ALL.map(Self::name).join(", "))
                .but_found(format!("`{name}`"))
        })
    }
}
