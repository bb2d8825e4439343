use crate::kernel::*; use crate::Result;
pub(super) fn lower(_: &super::Geometry, _: crate::DType, _: &Caps) -> Result<Lowered> { todo!() }
