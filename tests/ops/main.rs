//! Tests of the ops: one module per row of the catalogue, under the same name.

mod support;
