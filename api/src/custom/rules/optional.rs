//! Fields that may be absent: `a.?b`.
//!
//! The evaluator takes a key that may be absent (`a[?'b']`) but not a field, which is the same of a map; so fields are
//! written as keys.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{Expr, operators},
};

use super::parts;

/// Rewrites every field that may be absent.
pub(super) fn as_keys(expression: &mut IdedExpr) {
    if let Expr::Call(call) = &mut expression.expr
        && call.func_name == operators::OPT_SELECT
    {
        operators::OPT_INDEX.clone_into(&mut call.func_name);
    }
    parts::each(expression, &mut as_keys);
}
