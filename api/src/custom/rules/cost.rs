//! How much work an expression may ask for: the language has no loops but macros over lists and maps, so that the size
//! of the values and the nesting of macros bound it.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};
use serde_json::Value;

/// How deep macros stand in each other.
pub(super) fn nesting(expression: &IdedExpr) -> u32 {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(nesting).max().unwrap_or(0);
    match &expression.expr {
        Expr::Comprehension(over) => {
            let inside = [&over.loop_cond, &over.loop_step, &over.result];
            let range = nesting(&over.iter_range).max(nesting(&over.accu_init));
            range.max(1 + deepest(&mut inside.into_iter()))
        }
        Expr::Call(call) => deepest(&mut call.args.iter().chain(call.target.as_deref())),
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Select(select) => nesting(&select.operand),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => nesting(&entry.key).max(nesting(&entry.value)),
                EntryExpr::StructField(field) => nesting(&field.value),
            })
            .max()
            .unwrap_or(0),
        Expr::Struct(fields) => fields
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => nesting(&entry.key).max(nesting(&entry.value)),
                EntryExpr::StructField(field) => nesting(&field.value),
            })
            .max()
            .unwrap_or(0),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    }
}

/// How many values there are in a value, itself included; long texts count as more.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() as u64 / 64,
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<u64>(),
    }
}

/// The most values that one list or map in a value holds: what a macro over it visits at most.
pub(crate) fn width(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(items) => items.iter().map(width).fold(items.len() as u64, u64::max),
        Value::Object(fields) => fields.values().map(width).fold(fields.len() as u64, u64::max),
    }
}
