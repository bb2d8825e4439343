//! Matrices in storage variables: the functions that load and store four of their elements at a time, written for how the elements lie and
//! for what is asked for past the end.
//!
//! ```text
//! .read_matrix("a", operand, a)             fn a_row(base: u32, row: u32, column: u32) -> vec4<f32>      four neighbours of a row
//!                                           fn a_column(..) -> vec4<f32>                                 four neighbours of a column
//!                                           fn a_block(..) -> mat4x4<f32>                                four rows of four columns
//! .read_rows_if("residual", operand, r)     fn residual_row(..) -> vec4<f32>                             zeros where there is no operand
//! .read_places("x", operand, dtype, ..)     fn x_one(place: u32) -> f32, fn x_four(place: u32) -> vec4<f32>
//! .read_as_stored("a", operand, a)          fn a_row(..) -> vec4<f16>, or a_column, whichever lie behind one another
//! .update_rows("c", operand, c)              both c_row and store_c
//! .write_rows_if("c", operand, c)           fn store_c(base, row, column, value: vec4<f32>)              nothing where there is no operand
//! ```
//!
//! `base` is the matrix's first element, so that one variable holds many. Halves that are read as f32 come as pairs, two of them a word,
//! where lines are whole vectors: drivers load words, where they load `vec4<f16>` element by element.

use super::accessor::{Accessor, Four, Past, clamped, ignored, zeros};
use super::{Kernel, Operand};
use crate::tensor::DType;

/// How a matrix lies in a storage variable: lines of neighbours, which are its rows, or its columns if it is stored transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Type of the stored elements, a float.
    pub(crate) dtype: DType,
    /// Whether lines are columns.
    pub(crate) transposed: bool,
    /// Elements from the beginning of a line to that of the next, in WGSL. None of a matrix of one line.
    pub(crate) line: Option<&'static str>,
    /// Whether every line starts at, and extends over, whole vectors of four elements.
    pub(crate) vectors: bool,
    /// How many rows there are, in WGSL, if the functions are called with rows past the end: loads then repeat the last one (in vectors
    /// along a line, the last four), stores leave them out.
    pub(crate) rows: Option<&'static str>,
    /// The same of columns.
    pub(crate) columns: Option<&'static str>,
}

const ARGUMENTS: &str = "base: u32, row: u32, column: u32";

impl Kernel {
    /// A matrix that is read as f32: `NAME_row`, `NAME_column` and `NAME_block`, whose element `[r][c]` is row `r` and column `c` of it.
    pub(crate) fn read_matrix(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let accessor = matrix.read_as(name);
        let functions = [
            matrix.header(name),
            matrix.along(name, &accessor),
            matrix.across(name, &accessor),
            matrix.block(name),
        ];
        self.declare(name, operand, &accessor, false).define(functions.concat())
    }

    /// A matrix, not transposed, of which rows are read as f32: `NAME_row`, zeros if there is no operand.
    pub(crate) fn read_rows_if(self, name: &'static str, operand: Option<Operand>, matrix: Matrix) -> Self {
        match operand {
            Some(operand) => {
                let accessor = matrix.read_as(name);
                let functions = matrix.header(name) + &matrix.along(name, &accessor);
                self.declare(name, operand, &accessor, false).define(functions)
            }
            None => {
                let rows = zeros(&format!("{name}_row"), ARGUMENTS, "vec4<f32>");
                self.define(format!("// There is no {name}.\n{rows}"))
            }
        }
    }

    /// Elements of `dtype`, a float, wherever they lie: `NAME_one(place: u32)` gives one and `NAME_four(place: u32)` that and the three behind it,
    /// as `Element`; if `vectors`, four begin at a multiple of four. `Element` is `dtype` if `as_stored`, else f32.
    pub(crate) fn read_places(
        self,
        name: &'static str,
        operand: Operand,
        dtype: DType,
        [vectors, as_stored]: [bool; 2],
    ) -> Self {
        let value = if as_stored { dtype } else { DType::F32 };
        let accessor = match dtype {
            DType::F16 if vectors && !as_stored => Accessor::pairs(name),
            _ => Accessor::elements(name, dtype, vectors, value.name()).only_read(),
        };
        let place = Four { line: "place", first: "0u", end: None };
        let functions = [
            format!("alias Element = {};\n", value.name()),
            accessor.load_one(&format!("{name}_one"), "place: u32", "place"),
            accessor.load_four(&format!("{name}_four"), "place: u32", &place, Past::Last),
        ];
        self.declare(name, operand, &accessor, false).define(functions.concat())
    }

    /// A matrix whose lines are read in the type they are stored as: `NAME_row`, or `NAME_column` if it is transposed.
    pub(crate) fn read_as_stored(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let accessor =
            Accessor::elements(name, matrix.dtype, matrix.vectors, matrix.dtype.name()).only_read();
        let functions = matrix.header(name) + &matrix.along(name, &accessor);
        self.declare(name, operand, &accessor, false).define(functions)
    }

    /// A matrix, not transposed, whose rows are written: `store_NAME`.
    pub(crate) fn write_rows(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let accessor = matrix.written_as(name);
        let functions = matrix.header(name) + &matrix.store(name, &accessor);
        self.declare(name, operand, &accessor, true).define(functions)
    }

    /// A matrix, not transposed, whose rows are read and written: both functions.
    pub(crate) fn update_rows(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let accessor = matrix.written_as(name);
        let functions = [matrix.header(name), matrix.along(name, &accessor), matrix.store(name, &accessor)];
        self.declare(name, operand, &accessor, true).define(functions.concat())
    }

    /// [`Kernel::write_rows`] if somebody wants it: without, `store_NAME` does nothing.
    pub(crate) fn write_rows_if(self, name: &'static str, operand: Option<Operand>, matrix: Matrix) -> Self {
        match operand {
            Some(operand) => self.write_rows(name, operand, matrix),
            None => {
                let rows = ignored(&format!("store_{name}"), ARGUMENTS, "vec4<f32>");
                self.define(format!("// Nobody wants {name}.\n{rows}"))
            }
        }
    }
}

impl Matrix {
    /// The variable of a matrix that is read as f32.
    fn read_as<'n>(&self, name: &'n str) -> Accessor<'n> {
        if self.vectors && self.dtype == DType::F16 {
            Accessor::pairs(name)
        } else {
            self.written_as(name).only_read()
        }
    }

    /// The variable of a matrix that is written.
    fn written_as<'n>(&self, name: &'n str) -> Accessor<'n> {
        Accessor::elements(name, self.dtype, self.vectors, "f32")
    }

    /// Which of `row` and `column` counts lines, and is what a line is; and how many there are if they end.
    fn across_axis(&self) -> (&'static str, Option<&'static str>) {
        if self.transposed { ("column", self.columns) } else { ("row", self.rows) }
    }

    /// Which of `row` and `column` counts elements of a line, and how many there are if they end.
    fn along_axis(&self) -> (&'static str, Option<&'static str>) {
        if self.transposed { ("row", self.rows) } else { ("column", self.columns) }
    }

    /// Where things lie, as a comment.
    fn header(&self, name: &str) -> String {
        let line = self.line.map_or(String::new(), |line| format!("{} * {line} + ", self.across_axis().0));
        let ends: Vec<String> = [("rows", self.rows), ("columns", self.columns)]
            .into_iter()
            .filter_map(|(axis, extent)| extent.map(|extent| format!("{axis} end at {extent}")))
            .collect();
        let end = if ends.is_empty() { String::new() } else { format!("; {}", ends.join(", ")) };
        let along = self.along_axis().0;
        let width = if self.vectors { ", in whole vectors" } else { "" };
        format!("// Element (row, column) of {name} lies at base + {line}{along}{width}{end}.\n")
    }

    /// The first element of a line, past the last of which the last one is repeated.
    fn start(&self) -> String {
        let Some(line) = self.line else { return "base".into() };
        let (across, end) = self.across_axis();
        format!("base + {} * {line}", clamped(across, end, 1))
    }

    /// The function of four neighbours of a line.
    fn along(&self, name: &str, accessor: &Accessor<'_>) -> String {
        let (along, end) = self.along_axis();
        let four = Four { line: &self.start(), first: along, end };
        accessor.load_four(&format!("{name}_{}", self.across_axis().0), ARGUMENTS, &four, Past::Last)
    }

    /// The function of four elements of neighbouring lines, and that of one element which they come from.
    fn across(&self, name: &str, accessor: &Accessor<'_>) -> String {
        let (along, end) = self.along_axis();
        let place = format!("{} + {}", self.start(), clamped(along, end, 1));
        let one = accessor.load_one(&format!("{name}_at"), ARGUMENTS, &place);
        let elements = self.neighbours(name, "at");
        format!(
            "{one}fn {name}_{along}({ARGUMENTS}) -> vec4<f32> {{\n    return vec4<f32>({elements});\n}}\n"
        )
    }

    /// Four rows of four columns, line by line.
    fn block(&self, name: &str) -> String {
        let lines = self.neighbours(name, self.across_axis().0);
        let block = format!("mat4x4<f32>({lines})");
        let block = if self.transposed { format!("transpose({block})") } else { block };
        format!("fn {name}_block({ARGUMENTS}) -> mat4x4<f32> {{\n    return {block};\n}}\n")
    }

    /// What the function `NAME_what` gives for four lines.
    fn neighbours(&self, name: &str, what: &str) -> String {
        let calls = ["", " + 1u", " + 2u", " + 3u"].map(|next| match self.transposed {
            false => format!("{name}_{what}(base, row{next}, column)"),
            true => format!("{name}_{what}(base, row, column{next})"),
        });
        format!("\n        {},\n    ", calls.join(",\n        "))
    }

    /// The function that stores four neighbours of a row, those that exist.
    fn store(&self, name: &str, accessor: &Accessor<'_>) -> String {
        let line = self.line.map_or("base".into(), |line| format!("base + row * {line}"));
        let inside = self.rows.map(|rows| format!("row < {rows}"));
        let four = Four { line: &line, first: "column", end: self.columns };
        accessor.store_four(&format!("store_{name}"), ARGUMENTS, &four, inside.as_deref())
    }
}

#[cfg(test)]
mod tests;
