//! Tables that the server makes (`as=Table`), printed as kubectl prints them.

use std::io::IsTerminal;

use serde_json::Value;

use super::object;
use crate::terminal::aligned;

/// Asks for a table, with the objects' metadata; other forms for what cannot be one.
pub(crate) const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// How rows are printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layout {
    /// Columns of lower priority, too.
    pub(crate) wide: bool,
    /// A first column with the namespace.
    pub(crate) namespaces: bool,
    pub(crate) headings: bool,
    /// A last column with all labels.
    pub(crate) labels: bool,
}

/// Prints tables of one kind; widths only grow, so that the rows of a watch stay in line.
pub(crate) struct TablePrinter {
    layout: Layout,
    /// Put before each name: "pod/" when several kinds are printed.
    prefix: String,
    columns: Vec<(usize, String)>,
    widths: Vec<usize>,
    headings_due: bool,
    colours: bool,
}

impl TablePrinter {
    pub(crate) fn new(layout: Layout, prefix: String) -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            layout,
            prefix,
            columns: Vec::new(),
            widths: Vec::new(),
            headings_due: layout.headings,
            colours,
        }
    }

    /// Prints all rows of a table. The columns are those of the first table: later ones of a watch have none.
    pub(crate) fn print(&mut self, table: &Value) {
        for line in self.lines(table) {
            outln!("{line}");
        }
    }

    fn lines(&mut self, table: &Value) -> Vec<String> {
        if self.columns.is_empty() {
            self.columns = object::items(&table["columnDefinitions"])
                .iter()
                .enumerate()
                .filter(|(_, column)| self.layout.wide || column["priority"].as_i64().unwrap_or_default() == 0)
                .map(|(index, column)| (index, object::text(&column["name"]).to_uppercase()))
                .collect();
        }
        let mut rows: Vec<Vec<String>> = object::items(&table["rows"])
            .iter()
            .map(|row| self.cells(row))
            .collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let has_headings = std::mem::take(&mut self.headings_due);
        if has_headings {
            rows.insert(0, self.headings());
        }
        for row in &rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut lines: Vec<String> = rows.iter().map(|row| aligned(row, &self.widths)).collect();
        if self.colours {
            for (index, line) in lines.iter_mut().enumerate() {
                *line = if has_headings && index == 0 {
                    bold(line)
                } else {
                    coloured(line)
                };
            }
        }
        lines
    }

    fn headings(&self) -> Vec<String> {
        let namespace = self.layout.namespaces.then(|| "NAMESPACE".to_owned());
        let labels = self.layout.labels.then(|| "LABELS".to_owned());
        namespace
            .into_iter()
            .chain(self.columns.iter().map(|(_, name)| name.clone()))
            .chain(labels)
            .collect()
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        let namespace = self
            .layout
            .namespaces
            .then(|| object::namespace(&row["object"]).to_owned());
        let labels = self.layout.labels.then(|| {
            let pairs = object::pairs(&row["object"]["metadata"]["labels"]);
            if pairs.is_empty() {
                "<none>".to_owned()
            } else {
                pairs.join(",")
            }
        });
        let shown = self.columns.iter().map(|(index, heading)| {
            let cell = object::text(&row["cells"][*index]);
            if heading == "NAME" {
                format!("{}{cell}", self.prefix)
            } else {
                cell
            }
        });
        namespace.into_iter().chain(shown).chain(labels).collect()
    }
}

fn bold(heading: &str) -> String {
    format!("\x1b[1m{heading}\x1b[0m")
}

/// A word that tells of trouble or of waiting stands out.
fn coloured(line: &str) -> String {
    const TROUBLE: &[&str] = &[
        "CrashLoopBackOff",
        "Error",
        "ErrImagePull",
        "ImagePullBackOff",
        "Failed",
        "NotReady",
        "Evicted",
        "Unknown",
    ];
    const WAITING: &[&str] = &["Pending", "ContainerCreating", "Terminating", "Unschedulable"];
    let paint = |words: &[&str], colour: &str| {
        words.iter().find_map(|word| {
            let (before, after) = line.split_once(&format!("   {word}"))?;
            Some(format!("{before}   \x1b[{colour}m{word}\x1b[0m{after}"))
        })
    };
    paint(TROUBLE, "31")
        .or_else(|| paint(WAITING, "33"))
        .unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Value {
        json!({
            "columnDefinitions": [
                {"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "IP", "priority": 1}
            ],
            "rows": [{
                "cells": ["a", "1/1", "10.42.0.2"],
                "object": {"metadata": {"namespace": "default", "labels": {"app": "web"}}}
            }],
        })
    }

    fn printed(layout: Layout, prefix: &str) -> Vec<String> {
        let mut printer = TablePrinter::new(
            Layout {
                headings: true,
                ..layout
            },
            prefix.to_owned(),
        );
        printer.colours = false;
        printer.lines(&pods())
    }

    #[test]
    fn layouts() {
        let layout = Layout::default();
        assert_eq!(printed(layout, ""), ["NAME   READY", "a      1/1"]);
        assert_eq!(printed(layout, "pod/"), ["NAME    READY", "pod/a   1/1"]);
        assert_eq!(
            printed(
                Layout {
                    wide: true,
                    namespaces: true,
                    labels: true,
                    ..layout
                },
                ""
            ),
            [
                "NAMESPACE   NAME   READY   IP          LABELS",
                "default     a      1/1     10.42.0.2   app=web"
            ]
        );
    }

    #[test]
    fn later_tables_keep_columns_and_widths() {
        let mut printer = TablePrinter::new(
            Layout {
                headings: true,
                ..Layout::default()
            },
            String::new(),
        );
        printer.colours = false;
        printer.lines(&pods());
        let row = json!({"columnDefinitions": null, "rows": [{"cells": ["b", "0/1", ""]}]});
        assert_eq!(printer.lines(&row), ["b      0/1"]);
    }
}
