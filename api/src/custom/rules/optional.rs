//! Fields that may be absent: `a.?b`.
//!
//! The evaluator takes a key that may be absent (`a[?'b']`) but not a field, which is the same of a map; so fields are
//! written as keys.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, operators},
};

/// Rewrites every field that may be absent.
pub(super) fn as_keys(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            if call.func_name == operators::OPT_SELECT {
                operators::OPT_INDEX.clone_into(&mut call.func_name);
            }
            call.args.iter_mut().chain(call.target.as_deref_mut()).for_each(as_keys);
        }
        Expr::Comprehension(over) => {
            for part in [
                &mut over.iter_range,
                &mut over.accu_init,
                &mut over.loop_cond,
                &mut over.loop_step,
                &mut over.result,
            ] {
                as_keys(part);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(as_keys),
        Expr::Select(select) => as_keys(&mut select.operand),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| entry_as_keys(&mut entry.expr)),
        Expr::Struct(fields) => fields
            .entries
            .iter_mut()
            .for_each(|entry| entry_as_keys(&mut entry.expr)),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_as_keys(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            as_keys(&mut entry.key);
            as_keys(&mut entry.value);
        }
        EntryExpr::StructField(field) => as_keys(&mut field.value),
    }
}
