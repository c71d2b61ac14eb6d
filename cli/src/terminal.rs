//! What people see: tables, ages, progress. Colours and motion only on a terminal.

use std::{
    fmt,
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// Blanks between columns, as kubectl prints them.
const COLUMN_GAP: usize = 3;

/// Rows of text in aligned columns.
#[derive(Debug, Default)]
pub(crate) struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these headings; none: rows only.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let rows = if headings.is_empty() {
            Vec::new()
        } else {
            vec![headings.iter().map(ToString::to_string).collect()]
        };
        Self { rows }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Characters of the widest cell of each column.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect()
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        self.rows
            .iter()
            .try_for_each(|row| writeln!(formatter, "{}", aligned(row, &widths)))
    }
}

/// One line: every cell but the last padded to its column's width.
pub(crate) fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        if index + 1 < cells.len() {
            let width = widths.get(index).copied().unwrap_or_default();
            let padding = width.saturating_sub(cell.chars().count()) + COLUMN_GAP;
            line.extend(std::iter::repeat_n(' ', padding));
        }
    }
    line
}

/// How long ago, in the few characters that kubectl uses.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    short_duration(now.as_second().saturating_sub(since.as_second()))
}

/// Seconds in at most two units.
pub(crate) fn short_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// Shows what a longer command is doing: a moving line on a terminal, plain lines otherwise.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    silent: bool,
    last: std::cell::RefCell<String>,
}

impl Progress {
    pub(crate) fn start(what: &str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            eprintln!("{what}");
        }
        Self {
            bar,
            silent: false,
            last: std::cell::RefCell::default(),
        }
    }

    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        Self {
            bar: None,
            silent: true,
            last: std::cell::RefCell::default(),
        }
    }

    /// What is being done now. Said once, however often it is repeated.
    pub(crate) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None if self.silent || *self.last.borrow() == what => {}
            None => {
                eprintln!("  {what}");
                what.clone_into(&mut self.last.borrow_mut());
            }
        }
    }

    /// What is being done this moment: shown only where the next replaces it.
    pub(crate) fn quick_step(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// The outcome.
    pub(crate) fn finish(&self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.silent {
            eprintln!("{outcome}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let mut table = TextTable::new(&["NAME", "READY"]);
        table.row(vec!["a-longer-name".into(), "1/1".into()]);
        table.row(vec!["b".into(), String::new()]);
        assert_eq!(
            table.to_string(),
            "NAME            READY\na-longer-name   1/1\nb               \n"
        );
    }

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (13_500, "3h45m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (300_000_000, "9y"),
        ] {
            assert_eq!(short_duration(seconds), expected, "{seconds}");
        }
    }
}
