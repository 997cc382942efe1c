//! Table: rows of text, aligned.
//!
//! In: a header and rows of cells. Out: text for a terminal, or a Markdown table. Never: a wide or wrapped cell.

/// A table; the first column is aligned left, the others right, because they are numbers.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        (0..self.header.len())
            .map(|column| lines().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect()
    }

    /// For a terminal.
    pub(crate) fn plain(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate();
            let padded = cells.map(|(column, (cell, &width))| pad(cell, width, column == 0));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        std::iter::once(&self.header).chain(&self.rows).map(|cells| line(cells)).collect()
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> =
            (0..self.header.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
        [&self.header, &rule].into_iter().chain(&self.rows).map(|cells| line(cells)).collect()
    }
}

fn pad(cell: &str, width: usize, left: bool) -> String {
    if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right_and_missing_cells_are_empty() {
        let mut table = Table::new(["step", "bytes", "note"]);
        table.row(["first".to_owned(), "7".to_owned(), "x".to_owned()]);
        table.row(["a longer one".to_owned(), "12345".to_owned()]);
        assert_eq!(table.plain(), "step          bytes  note\nfirst             7     x\na longer one  12345\n");
        assert!(table.markdown().starts_with("| step | bytes | note |\n| --- | ---: | ---: |\n| first | 7 | x |\n"));
    }
}
