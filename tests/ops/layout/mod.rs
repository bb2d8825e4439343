mod broadcast;
mod concat;
mod flip;
mod pad;
mod repeat;
mod roll;
mod slice;
mod transpose;
