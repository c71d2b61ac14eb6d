//! The text of truth values: `string(true)`. The evaluator has texts of everything else.

use kube_cel::cel::{Context, FunctionContext, Value as Cel, extractors::This, functions};

/// Gives `string` to a context.
pub(crate) fn register(context: &mut Context<'static>) {
    context.add_function(
        "string",
        |call: &FunctionContext<'_, '_>, This(this): This<Cel>| match this {
            Cel::Bool(value) => Ok(Cel::from(value.to_string())),
            other => functions::string(call, This(other)),
        },
    );
}
