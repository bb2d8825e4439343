//! Tables as one line of text.

use std::fmt;

/// A table that a question is asked about. Its text is that of TAPEX (Liu et al., arXiv 2107.07653, section 3.1; order and marks as in
/// <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/tapex/tokenization_tapex.py>, `IndexedRowTableLinearize`):
///
/// ```
/// use foveate::tokenize::Table;
///
/// let table = Table { header: vec!["year".into(), "city".into()], rows: vec![vec!["1896".into(), "athens".into()]] };
/// assert_eq!(table.to_string(), "col : year | city row 1 : 1896 | athens");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "col : {}", self.header.join(" | "))?;
        for (number, row) in (1..).zip(&self.rows) {
            write!(f, " row {number} : {}", row.join(" | "))?;
        }
        Ok(())
    }
}
