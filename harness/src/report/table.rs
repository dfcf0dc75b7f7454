//! Answers of a database as an aligned table.
//!
//! Touches nothing. Invariants: a control character of a value is shown as an escape, so no value can
//! move the cursor or add a line; with a width given, no line is wider.

use std::borrow::Cow;

use console::{measure_text_width, truncate_str};

use crate::store::{Cell, RowSet};

/// Narrowest that a column is cut to.
const COLUMN_MIN: usize = 6;

/// Spaces between two columns.
const GAP: &str = "  ";

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push(cells.into_iter().map(|cell| visible(cell.as_ref())).collect());
    }

    /// The table as text without a last line break; no line wider than `width` where one is given.
    pub fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let mut text = String::new();
        let names = self.columns.iter().map(|(name, _)| Cow::Borrowed(name.as_str()));
        self.line(&mut text, names, &widths);
        text.push('\n');
        let rules = widths.iter().map(|width| Cow::Owned("-".repeat(*width)));
        self.line(&mut text, rules, &widths);
        for row in &self.rows {
            text.push('\n');
            self.line(&mut text, row.iter().map(|cell| Cow::Borrowed(cell.as_str())), &widths);
        }
        text
    }

    fn line<'a>(
        &self,
        text: &mut String,
        cells: impl Iterator<Item = Cow<'a, str>>,
        widths: &[usize],
    ) {
        let mut line = String::new();
        for (place, ((cell, (_, align)), width)) in cells.zip(&self.columns).zip(widths).enumerate()
        {
            if place > 0 {
                line.push_str(GAP);
            }
            let cell = truncate_str(&cell, *width, "…");
            let pad = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            let (before, after) = match align {
                Align::Left => (&*cell, &*pad),
                Align::Right => (&*pad, &*cell),
            };
            line.push_str(before);
            line.push_str(after);
        }
        text.push_str(line.trim_end());
    }

    /// The widest cell of each column, the widest columns cut until the line fits.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|(name, _)| measure_text_width(name)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        let Some(limit) = limit else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        loop {
            let total = widths.iter().sum::<usize>() + gaps;
            let Some(over) = total.checked_sub(limit).filter(|over| *over > 0) else { break };
            let Some(widest) = widths.iter_mut().max() else { break };
            if *widest <= COLUMN_MIN {
                break;
            }
            // Down to the limit at once where this column alone can give that much.
            let floor = COLUMN_MIN.max(*widest / 2);
            *widest = widest.saturating_sub(over).max(floor).min(*widest - 1);
        }
        widths
    }
}

impl From<&RowSet> for Table {
    fn from(answer: &RowSet) -> Self {
        let is_number = |place: usize| {
            let mut cells = answer.rows.iter().filter_map(|row| row.0.get(place)).peekable();
            cells.peek().is_some()
                && cells.all(|cell| matches!(cell, Cell::Int(_) | Cell::Real(_) | Cell::Null))
        };
        let columns = answer.columns.iter().enumerate().map(|(place, name)| {
            (visible(name), if is_number(place) { Align::Right } else { Align::Left })
        });
        let mut table = Self { columns: columns.collect(), rows: Vec::new() };
        for row in &answer.rows {
            table.row(row.0.iter().map(cell_text));
        }
        table
    }
}

/// One value of a database as text; bytes as hex digits after `0x`.
pub fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Int(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Bytes(bytes) => {
            let mut text = String::with_capacity(2 + bytes.len() * 2);
            text.push_str("0x");
            for byte in bytes {
                text.extend([byte >> 4, byte & 15].map(hex));
            }
            text
        }
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('?')
}

fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
