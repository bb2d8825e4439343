pub(crate) mod concat;
pub(crate) mod slice;
pub(crate) mod transpose;
