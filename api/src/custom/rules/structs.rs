//! Constructions of values that have a type: `Object.spec{replicas: 3}`.
//!
//! The evaluator has maps but no structs, so a construction is written as a map that carries the name of its type under
//! a key that no object has. Only expressions that change objects may construct anything.
//! Source: Kubernetes, "Mutating Admission Policy", "CEL expressions".

use kube_cel::cel::{
    IdedExpr,
    common::{
        ast::{EntryExpr, Expr, IdedEntryExpr, LiteralValue, MapEntryExpr, MapExpr, StructExpr},
        types::CelString,
    },
};

use super::parts;

/// The key under which a value carries the name of its type.
pub(crate) const TYPE: &str = "\0type";
/// The type of whole objects; those of their fields are `Object.spec`, `Object.spec.template`, …
pub(crate) const OBJECT: &str = "Object";
/// The type of the operations of a JSON patch.
pub(crate) const JSON_PATCH: &str = "JSONPatch";

const JSON_PATCH_FIELDS: [&str; 4] = ["from", "op", "path", "value"];

/// What an expression may construct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constructions {
    /// Nothing.
    None,
    /// Objects and operations of JSON patches.
    Mutations,
}

/// Rewrites every construction to a map.
///
/// # Errors
/// When something is constructed that may not be, or has a field that it does not have.
pub(super) fn as_maps(expression: &mut IdedExpr, may: Constructions) -> Result<(), String> {
    let mut answer = Ok(());
    parts::each(expression, &mut |part| {
        if answer.is_ok() {
            answer = as_maps(part, may);
        }
    });
    answer?;
    if let Expr::Struct(made) = &mut expression.expr {
        check(made, may)?;
        expression.expr = Expr::Map(MapExpr {
            entries: entries(expression.id, std::mem::take(made)),
        });
    }
    Ok(())
}

fn check(made: &StructExpr, may: Constructions) -> Result<(), String> {
    let name = made.type_name.as_str();
    let is_object = || name == OBJECT || name.strip_prefix(OBJECT).is_some_and(|path| path.starts_with('.'));
    if may == Constructions::None || !(is_object() || name == JSON_PATCH) {
        return Err(format!("undeclared reference to '{name}' (in container '')"));
    }
    let fields = made.entries.iter().filter_map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => Some(field.field.trim_matches('`')),
        EntryExpr::MapEntry(_) => None,
    });
    let mut seen = Vec::new();
    for field in fields {
        if name == JSON_PATCH && !JSON_PATCH_FIELDS.contains(&field) {
            return Err(format!("undefined field '{field}'"));
        }
        if seen.contains(&field) {
            return Err(format!("duplicate field '{field}' in '{name}'"));
        }
        seen.push(field);
    }
    Ok(())
}

fn entries(id: u64, made: StructExpr) -> Vec<IdedEntryExpr> {
    let entry = |id: u64, name: &str, value: IdedExpr, optional: bool| IdedEntryExpr {
        id,
        expr: EntryExpr::MapEntry(MapEntryExpr {
            key: text(id, name),
            value,
            optional,
        }),
    };
    let fields = made.entries.into_iter().map(|field| match field.expr {
        EntryExpr::StructField(given) => entry(field.id, given.field.trim_matches('`'), given.value, given.optional),
        EntryExpr::MapEntry(_) => field,
    });
    let name = text(id, &made.type_name);
    std::iter::once(entry(id, TYPE, name, false)).chain(fields).collect()
}

fn text(id: u64, text: &str) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Literal(LiteralValue::String(CelString::from(text))),
    }
}
