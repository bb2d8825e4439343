mod concat;
mod slice;
mod transpose;
