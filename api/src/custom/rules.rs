//! Rules in the Common Expression Language: `x-kubernetes-validations`.
//!
//! Never here: types, ranges and formats (`check`); rules are asked only of objects that pass those.
//! Source: "Validation rules" in the documentation of CustomResourceDefinitions; the CEL language definition.

mod cost;
mod optional;
mod parts;
mod structs;
mod text;
mod values;
mod variables;

use std::sync::Arc;

use kube_cel::{
    KubeCelExt as _,
    cel::{Context, ExecutionError, IdedExpr, ResolveResult, Value as Cel, objects::OptionalValue, parser::Parser},
};
use serde_json::Value;

use self::values::to_cel;
pub(crate) use self::{
    cost::width,
    structs::{Constructions, JSON_PATCH, OBJECT, TYPE},
    text::register,
    values::plain,
};
use super::{
    check::{Former, join},
    schema::{Additional, Schema},
};
use crate::validation::FieldError;

/// Work that all rules of one object may ask for together: steps of expressions, counting each item that a macro may
/// visit. Some seconds at worst, as in Kubernetes.
const STEPS_MAX: u64 = 10_000_000;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// One rule of a schema.
#[derive(Debug)]
pub(crate) struct Rule {
    text: String,
    message: String,
    message_program: Option<Program>,
    reason: String,
    field_path: String,
    /// Whether the rule is asked of new values too, with no former one.
    optional_old: bool,
    /// Whether the rule compares with the former value.
    is_transition: bool,
    program: Result<Program, String>,
    /// How deep macros over lists and maps stand in each other.
    nesting: u32,
}

impl Rule {
    /// The rules in `x-kubernetes-validations`.
    pub(crate) fn parse_all(list: Option<&Value>) -> Vec<Rule> {
        let items = list.and_then(Value::as_array).into_iter().flatten();
        items.map(Rule::parse).collect()
    }

    fn parse(rule: &Value) -> Rule {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
        let source = text("rule");
        let program = Program::compile(&source);
        let is_transition = program.as_ref().is_ok_and(|program| program.refers_to("oldSelf"));
        let nesting = program.as_ref().map_or(0, Program::nesting);
        Rule {
            message: text("message"),
            message_program: Some(text("messageExpression"))
                .filter(|expression| !expression.is_empty())
                .and_then(|expression| Program::compile(&expression).ok()),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old: rule["optionalOldSelf"] == true,
            is_transition,
            program,
            nesting,
            text: source,
        }
    }
}

/// A parsed expression, with Kubernetes' optional syntax (`a.?b`).
#[derive(Debug)]
pub(crate) struct Program(IdedExpr);

impl Program {
    /// # Errors
    /// What is wrong with the expression, in the words of the compiler.
    pub(crate) fn compile(expression: &str) -> Result<Program, String> {
        Program::compile_with(expression, Constructions::None)
    }

    /// # Errors
    /// What is wrong with the expression, in the words of the compiler.
    pub(crate) fn compile_with(expression: &str, may_construct: Constructions) -> Result<Program, String> {
        let mut parsed = Program::parse(expression)?;
        optional::as_keys(&mut parsed);
        structs::as_maps(&mut parsed, may_construct)?;
        Ok(Program(parsed))
    }

    /// The program with a field of a variable as a variable of its own: `variable.field`.
    pub(crate) fn with_variable(mut self, variable: &str, field: &str) -> Program {
        variables::as_variable(&mut self.0, variable, field);
        self
    }

    /// The expression as it was written.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the compiler.
    pub(crate) fn parse(expression: &str) -> Result<IdedExpr, String> {
        let parsed = Parser::default().enable_optional_syntax(true).parse(expression);
        parsed.map_err(|errors| errors.to_string())
    }

    pub(crate) fn execute(&self, context: &Context<'_>) -> ResolveResult {
        Cel::resolve(&self.0, context)
    }

    /// Whether a name stands in it that a context has to give.
    pub(crate) fn refers_to(&self, name: &str) -> bool {
        self.0.references().has_variable(name)
    }

    /// How deep macros over lists and maps stand in each other.
    pub(crate) fn nesting(&self) -> u32 {
        cost::nesting(&self.0)
    }
}

/// Gives a scope in which all functions of the language are known, to begin scopes with variables in.
fn with_functions<T>(evaluate: impl FnOnce(&Context<'static>) -> T) -> T {
    thread_local! {
        // Functions are registered once per thread: a context cannot be shared.
        static FUNCTIONS: Context<'static> = {
            let mut context = Context::default();
            context.register_all();
            register(&mut context);
            context
        };
    }
    FUNCTIONS.with(evaluate)
}

/// Everything that the rules of a schema, and of the schemas in it, say against an object. `old` is the version that
/// the object replaces.
pub(super) fn faults(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if !has_any(schema) {
        return Vec::new();
    }
    with_functions(|functions| {
        let mut asked = Asked {
            functions,
            faults: Vec::new(),
            steps: 0,
        };
        asked.value(schema, Place::Root, object, old, "");
        asked.faults
    })
}

/// Whether there is a rule anywhere in the schema.
pub(super) fn has_any(schema: &Schema) -> bool {
    !schema.rules.is_empty()
        || schema.properties.values().any(has_any)
        || schema.items.as_deref().is_some_and(has_any)
        || matches!(&schema.additional, Additional::Of(known) if has_any(known))
}

/// Whether a value is a whole object, with `apiVersion`, `kind` and `metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Inside,
}

struct Asked<'a> {
    functions: &'a Context<'static>,
    faults: Vec<FieldError>,
    steps: u64,
}

impl Asked<'_> {
    fn value(&mut self, schema: &Schema, place: Place, value: &Value, old: Option<&Value>, path: &str) {
        if self.steps > STEPS_MAX || value.is_null() {
            return;
        }
        if !schema.rules.is_empty() {
            self.rules(schema, place, value, old, path);
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (schema.properties.get(name), &schema.additional) {
                        (Some(known), _) => self.value(known, Place::Inside, value, old, &join(path, name)),
                        (None, Additional::Of(known)) => {
                            self.value(known, Place::Inside, value, old, &format!("{path}[{name}]"));
                        }
                        (None, Additional::Any | Additional::Absent) => {}
                    }
                }
            }
            Value::Array(items) => {
                let Some(known) = &schema.items else { return };
                let former = Former::new(&schema.list, old);
                for (index, item) in items.iter().enumerate() {
                    self.value(known, Place::Inside, item, former.of(item), &format!("{path}[{index}]"));
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Null => {}
        }
    }

    fn rules(&mut self, schema: &Schema, place: Place, value: &Value, old: Option<&Value>, path: &str) {
        let is_whole = place == Place::Root || schema.embedded;
        let mut scope = self.functions.new_inner_scope();
        scope.add_variable_from_value("self", to_cel(schema, is_whole, value));
        let former = old.map(|old| to_cel(schema, is_whole, old));
        let size = cost::size(value) + old.map_or(0, cost::size);
        for rule in &schema.rules {
            // What an update leaves as it was is not held against it.
            let is_unchanged = old == Some(value);
            if is_unchanged && !rule.is_transition {
                continue;
            }
            let mut scope = scope.new_inner_scope();
            match (&former, rule.optional_old) {
                (Some(former), false) => scope.add_variable_from_value("oldSelf", former.clone()),
                (former, true) => {
                    let former = former.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                    scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(former)));
                }
                (None, false) if rule.is_transition => continue,
                (None, false) => {}
            }
            self.steps = self.steps.saturating_add(size.saturating_pow(rule.nesting + 1));
            if self.steps > STEPS_MAX {
                self.faults
                    .push(FieldError::invalid(path, kind_of(schema), OUT_OF_BUDGET));
                return;
            }
            self.faults.extend(ask(rule, &scope, schema, path));
        }
    }
}

/// What one rule says against a value.
fn ask(rule: &Rule, scope: &Context<'_>, schema: &Schema, path: &str) -> Option<FieldError> {
    let shown = if rule.message.is_empty() {
        &rule.text
    } else {
        &rule.message
    };
    let refuse = |detail: String| Some(FieldError::invalid(path, kind_of(schema), detail));
    let program = match &rule.program {
        Ok(program) => program,
        Err(reason) => return refuse(format!("rule compile error: {reason}")),
    };
    match program.execute(scope) {
        Ok(Cel::Bool(true)) => None,
        Ok(Cel::Bool(false)) => {
            let told = rule
                .message_program
                .as_ref()
                .and_then(|program| match program.execute(scope) {
                    Ok(Cel::String(text)) if !text.trim().is_empty() && !text.contains('\n') => Some((*text).clone()),
                    _ => None,
                });
            let detail = told.unwrap_or_else(|| match rule.message.is_empty() {
                true => format!("failed rule: {}", rule.text.trim()),
                false => rule.message.clone(),
            });
            let path = format!("{path}{}", rule.field_path);
            let path = path.trim_start_matches('.');
            Some(match rule.reason.as_str() {
                "FieldValueForbidden" => FieldError::forbidden(path, detail),
                "FieldValueRequired" => FieldError::required(path, detail),
                "FieldValueDuplicate" => FieldError::duplicate(path, kind_of(schema)),
                _ => FieldError::invalid(path, kind_of(schema), detail),
            })
        }
        Ok(_) => refuse(format!("rule must evaluate to a bool: {shown}")),
        Err(ExecutionError::NoSuchKey(key)) => refuse(format!("no such key: {key} evaluating rule: {shown}")),
        Err(error) => refuse(format!("{error} evaluating rule: {shown}")),
    }
}

/// What messages show in place of the value.
fn kind_of(schema: &Schema) -> &'static str {
    schema.kind.map_or("", super::schema::ValueKind::name)
}
