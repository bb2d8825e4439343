use crate::kernel::*; use crate::Result; use crate::Problem;
pub(super) fn lower(_: &super::BlockedAttention, _: &Problem, _: &Caps) -> Result<Lowered> { todo!() }
