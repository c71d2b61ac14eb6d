//! Fields of variables that have no fields: `authorizer.requestResource`.
//!
//! The evaluator has fields only of maps, so such a field is written as a variable of that name.

use kube_cel::cel::{IdedExpr, common::ast::Expr};

use super::parts;

/// Rewrites the field wherever it stands.
pub(super) fn as_variable(expression: &mut IdedExpr, variable: &str, field: &str) {
    if let Expr::Select(select) = &expression.expr
        && !select.test
        && select.field == field
        && matches!(&select.operand.expr, Expr::Ident(name) if name == variable)
    {
        expression.expr = Expr::Ident(format!("{variable}.{field}"));
        return;
    }
    parts::each(expression, &mut |part| as_variable(part, variable, field));
}
