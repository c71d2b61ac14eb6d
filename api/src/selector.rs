//! Label selectors and field selectors: their text, their form in objects, and whether an object matches.
//!
//! Source: API concepts ("Labels and Selectors", "Field Selectors"), `metav1.LabelSelector`.

mod field;
mod label;

pub use field::{FieldSelector, ParseFieldSelectorError, UnsupportedField};
pub use label::{LabelSelector, Operator, ParseLabelSelectorError, Requirement};

/// Longest selector text that is parsed: far beyond any real one, and it bounds the work a request can cause.
pub const SELECTOR_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
