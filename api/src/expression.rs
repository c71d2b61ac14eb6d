//! Expressions of the Common Expression Language over whole objects: match conditions, policies, variables.
//!
//! Values are seen as JSON has them. Rules of custom schemas are of their own (`custom`), as a schema gives types there.
//! Source: the CEL language definition; Kubernetes, "Common Expression Language in Kubernetes".

mod authorizer;
mod mutation;
mod types;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::SecondsFormat;
use kube_cel::{
    KubeCelExt as _,
    cel::{Context, ExecutionError, Value as Cel, objects::Key},
};
use serde_json::{Map, Number, Value};

pub use self::{
    authorizer::{Account, Authorizer, Question, ResourceQuestion, Ruling},
    mutation::MismatchError,
    types::{Known, TypeFault},
};
use crate::custom::expressions::{Constructions, Program, plain, register, width};

/// Items that the macros of one evaluation may visit: some seconds at worst, as in Kubernetes.
const VISITS_MAX: u64 = 10_000_000;

const AUTHORIZER: &str = "authorizer";
/// The field of the authorizer that asks about the request itself.
const REQUEST: &str = "requestResource";

/// An expression that is ready to be evaluated.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Program,
}

/// An expression is none of the language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("compilation failed: {0}")]
pub struct CompileError(String);

/// An expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A field or key that is not there.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// It would be too much work.
    #[error("operation cancelled: actual cost limit exceeded")]
    TooCostly,
    /// Anything else, in the words of the language.
    #[error("{0}")]
    Failed(String),
}

/// What an expression came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// Anything else, as JSON; what JSON has no form for is null.
    Other(Value),
}

/// The names that expressions can use. Each is a whole JSON value.
#[derive(Debug, Default)]
pub struct Scope {
    variables: BTreeMap<String, Cel>,
    /// The most items that one list or map holds.
    width: u64,
}

impl Scope {
    /// Gives a name a value.
    pub fn set(&mut self, name: &str, value: &Value) {
        self.width = self.width.max(width(value));
        self.variables.insert(name.to_owned(), plain(value));
    }

    /// Lets expressions ask the `authorizer`; the request that they are about is its `requestResource`.
    pub fn set_authorizer(&mut self, authorizer: Arc<dyn Authorizer>, request: ResourceQuestion) {
        let [asked, of_request] = authorizer::values(authorizer, request);
        self.variables.insert(AUTHORIZER.to_owned(), asked);
        self.variables.insert(format!("{AUTHORIZER}.{REQUEST}"), of_request);
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(text: &str) -> Result<Expression, CompileError> {
        Expression::compile_with(text, Constructions::None)
    }

    fn compile_with(text: &str, may_construct: Constructions) -> Result<Expression, CompileError> {
        let program = Program::compile_with(text, may_construct).map_err(CompileError)?;
        let program = program.with_variable(AUTHORIZER, REQUEST);
        Ok(Expression {
            text: text.to_owned(),
            program,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name stands in it that a scope has to give.
    #[must_use]
    pub fn refers_to(&self, name: &str) -> bool {
        self.program.refers_to(name)
    }

    /// What it comes to.
    ///
    /// # Errors
    /// Why it comes to nothing.
    pub fn evaluate(&self, scope: &Scope) -> Result<Answer, EvaluateError> {
        if scope.width.saturating_pow(self.program.nesting()) > VISITS_MAX {
            return Err(EvaluateError::TooCostly);
        }
        let answer = with_functions(|functions| {
            let mut context = functions.new_inner_scope();
            for (name, value) in &scope.variables {
                context.add_variable_from_value(name.clone(), value.clone());
            }
            self.program.execute(&context)
        });
        match answer {
            Ok(Cel::Bool(value)) => Ok(Answer::Bool(value)),
            Ok(Cel::String(text)) => Ok(Answer::Text((*text).clone())),
            Ok(other) => Ok(Answer::Other(json(&other))),
            Err(ExecutionError::NoSuchKey(key)) => Err(EvaluateError::NoSuchKey((*key).clone())),
            Err(error) => Err(EvaluateError::Failed(error.to_string())),
        }
    }
}

impl Answer {
    /// The value as JSON.
    #[must_use]
    pub fn into_json(self) -> Value {
        match self {
            Answer::Bool(value) => Value::Bool(value),
            Answer::Text(text) => Value::String(text),
            Answer::Other(value) => value,
        }
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
            authorizer::register(&mut context);
            context
        };
    }
    FUNCTIONS.with(evaluate)
}

fn json(value: &Cel) -> Value {
    match value {
        Cel::Bool(value) => Value::Bool(*value),
        Cel::Int(number) => Value::from(*number),
        Cel::UInt(number) => Value::from(*number),
        Cel::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Cel::String(text) => Value::String((**text).clone()),
        Cel::Bytes(bytes) => Value::String(STANDARD.encode(&**bytes)),
        Cel::Timestamp(time) => Value::String(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        Cel::List(items) => Value::Array(items.iter().map(json).collect()),
        Cel::Map(map) => {
            let field = |(key, value): (&Key, &Cel)| Some((name(key)?, json(value)));
            Value::Object(map.map.iter().filter_map(field).collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

fn name(key: &Key) -> Option<String> {
    match key {
        Key::String(text) => Some(Arc::unwrap_or_clone(text.clone())),
        Key::Int(number) => Some(number.to_string()),
        Key::Uint(number) => Some(number.to_string()),
        Key::Bool(value) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests;
