mod broadcast;
mod concat;
mod pad;
mod slice;
mod transpose;
