pub(crate) mod broadcast;
pub(crate) mod concat;
pub(crate) mod pad;
pub(crate) mod slice;
pub(crate) mod transpose;
