//! Table: rows of cells in aligned columns.
//!
//! In: a heading and cells that hold no control characters. Out: lines. Never: wraps or cuts a cell.

use std::io::{self, Write};

/// Prints `rows` under `heading`, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(out: &mut dyn Write, heading: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let heading = heading.map(str::to_owned);
    let width =
        |column: usize| std::iter::once(&heading).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in std::iter::once(&heading).chain(rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let mut out = Vec::new();
        table(&mut out, ["a", "name"], &[["wide".into(), "x".into()], ["ä".into(), String::new()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a     name\nwide  x\nä\n");
    }
}
