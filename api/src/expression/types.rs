//! The types of expressions over objects whose schema is known: fields that there are not, operators that do not take
//! what they are given.
//!
//! What is not known is taken to be well: calls of functions have any type, and so have numbers or texts. Never here:
//! which kinds an expression is about.
//! Source: Kubernetes, "Validating Admission Policy", "Type checking"; the CEL language definition.

mod place;

use std::{collections::BTreeMap, fmt};

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators},
};

use self::place::Places;
use crate::{
    custom::expressions::Program,
    fields::{Held, KindPlace, Place as _},
};

/// How deep an expression may be whose types are looked at; what is deeper has any type.
const DEPTH_MAX: usize = 200;

/// Something wrong with the types of an expression. Displays as the compiler of Kubernetes does, with the line it stands
/// in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFault {
    line: usize,
    column: usize,
    text: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TypeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TypeFault {
            line,
            column,
            text,
            message,
        } = self;
        let dots = ".".repeat(column - 1);
        write!(f, "ERROR: <input>:{line}:{column}: {message}\n | {text}\n | {dots}^")
    }
}

/// The types of the names that an expression can use; a name that is not there has any.
#[derive(Debug, Clone, Default)]
pub struct Known {
    names: BTreeMap<String, Type>,
}

impl Known {
    /// Gives a name the type of what a schema has at a place.
    pub fn set(&mut self, name: &str, place: KindPlace) {
        self.names.insert(name.to_owned(), Type::of(place));
    }

    /// Adds a field to the `variables`, of the type of an expression.
    pub fn add_variable(&mut self, name: &str, expression: &str) {
        let (kind, _) = self.infer(expression);
        let variables = self
            .names
            .entry("variables".to_owned())
            .or_insert_with(|| Type::Fields(BTreeMap::new()));
        if let Type::Fields(fields) = variables {
            fields.insert(name.to_owned(), kind);
        }
    }

    /// What is wrong with the types of an expression, in the order in which its parts stand in it. Nothing is said of one
    /// that cannot be read.
    #[must_use]
    pub fn faults(&self, expression: &str) -> Vec<TypeFault> {
        self.infer(expression).1
    }

    fn infer(&self, expression: &str) -> (Type, Vec<TypeFault>) {
        let Ok(parsed) = Program::parse(expression) else {
            return (Type::Any, Vec::new());
        };
        let mut walk = Walk {
            known: self,
            places: Places::new(expression),
            bound: Vec::new(),
            accumulators: Vec::new(),
            depth: 0,
            faults: Vec::new(),
        };
        let kind = walk.expression(&parsed);
        let mut faults = walk.faults;
        faults.sort_by_key(|(place, _)| *place);
        let located = faults
            .into_iter()
            .map(|(place, message)| located(expression, place, message));
        (kind, located.collect())
    }
}

/// A type of the language.
#[derive(Debug, Clone)]
enum Type {
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Time,
    Span,
    List(Box<Type>),
    Map(Box<Type>),
    /// Fields by a schema.
    Struct(KindPlace),
    /// Fields by expressions.
    Fields(BTreeMap<String, Type>),
}

impl Type {
    fn of(place: KindPlace) -> Type {
        match place.held() {
            Held::Unknown => Type::Any,
            Held::Text => Type::Text,
            Held::Bytes => Type::Bytes,
            Held::Integer => Type::Int,
            Held::Number => Type::Double,
            Held::Boolean => Type::Bool,
            Held::Time => Type::Time,
            Held::Span => Type::Span,
            Held::Struct => Type::Struct(place),
            Held::Map(value) => Type::Map(Box::new(Type::of(value))),
            Held::List(item) => Type::List(Box::new(Type::of(item))),
        }
    }

    /// As the compiler names it; none if the type is not that of one kind of plain values.
    fn plain(&self) -> Option<&'static str> {
        match self {
            Type::Bool => Some("bool"),
            Type::Int => Some("int"),
            Type::Uint => Some("uint"),
            Type::Double => Some("double"),
            Type::Text => Some("string"),
            Type::Bytes => Some("bytes"),
            Type::Time => Some("google.protobuf.Timestamp"),
            Type::Span => Some("google.protobuf.Duration"),
            Type::Any | Type::Null | Type::List(_) | Type::Map(_) | Type::Struct(_) | Type::Fields(_) => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// The type of what is one or the other.
    fn or(self, other: &Type) -> Type {
        match (self.plain(), other.plain()) {
            (Some(one), Some(another)) if one == another => self,
            _ => Type::Any,
        }
    }
}

struct Walk<'k> {
    known: &'k Known,
    places: Places,
    /// The variables of macros, the innermost last.
    bound: Vec<(String, Type)>,
    /// Those that macros collect their results in.
    accumulators: Vec<String>,
    depth: usize,
    /// By where what they are about stands in the text.
    faults: Vec<(usize, String)>,
}

impl Walk<'_> {
    fn expression(&mut self, expression: &IdedExpr) -> Type {
        if self.depth == DEPTH_MAX {
            return Type::Any;
        }
        self.depth += 1;
        let kind = match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Literal(value) => literal(value),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(over) => self.comprehension(over),
            Expr::List(list) => {
                let items: Vec<Type> = list.elements.iter().map(|item| self.expression(item)).collect();
                Type::List(Box::new(one_of(items)))
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().map(|entry| &entry.expr);
                let values: Vec<Type> = entries.map(|entry| self.entry(entry)).collect();
                Type::Map(Box::new(one_of(values)))
            }
            Expr::Struct(made) => {
                for entry in &made.entries {
                    self.entry(&entry.expr);
                }
                Type::Any
            }
            Expr::Unspecified => Type::Any,
        };
        self.depth -= 1;
        kind
    }

    fn name(&self, name: &str) -> Type {
        let bound = self.bound.iter().rev().find(|(known, _)| known == name);
        match bound {
            Some((_, kind)) => kind.clone(),
            None => self.known.names.get(name).cloned().unwrap_or(Type::Any),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> Type {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key);
                self.expression(&entry.value)
            }
            EntryExpr::StructField(field) => self.expression(&field.value),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Type {
        let operand = self.expression(&select.operand);
        let name = select.field.trim_matches('`');
        let at = self.places.field(name);
        let field = self.field(at, &operand, name);
        if select.test { Type::Bool } else { field }
    }

    fn field(&mut self, at: usize, operand: &Type, name: &str) -> Type {
        let found = match operand {
            Type::Any => Some(Type::Any),
            Type::Map(value) => Some((**value).clone()),
            Type::Struct(place) => place.field(name).map(|child| Type::of(child.place)),
            Type::Fields(fields) => fields.get(name).cloned(),
            other => {
                let kind = match other {
                    Type::Null => "null_type",
                    Type::List(_) => "list",
                    other => other.plain().unwrap_or("dyn"),
                };
                let fault = format!("type '{kind}' does not support field selection");
                self.faults.push((at, fault));
                return Type::Any;
            }
        };
        found.unwrap_or_else(|| {
            self.faults.push((at, format!("undefined field '{name}'")));
            Type::Any
        })
    }

    fn call(&mut self, call: &CallExpr) -> Type {
        if let Some(target) = &call.target {
            self.expression(target);
        }
        // What a macro adds stands nowhere.
        let is_added = call.args.iter().any(|argument| match &argument.expr {
            Expr::Ident(name) => self.accumulators.contains(name),
            _ => false,
        });
        let sign = call.func_name.trim_matches('_').split('_').next().unwrap_or_default();
        let is_operator = call.func_name.contains('_') && !sign.chars().any(char::is_alphanumeric);
        let is_prefix = call.args.len() == 1;
        let (mut at, mut given) = (self.places.here(), Vec::with_capacity(call.args.len()));
        for (index, argument) in call.args.iter().enumerate() {
            if is_operator && !is_added && index == usize::from(!is_prefix) {
                at = self.places.sign(sign);
            }
            given.push(self.expression(argument));
        }
        match (call.func_name.as_str(), given.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => {
                let is_bool = |kind: &Type| kind.plain().is_none_or(|plain| plain == "bool");
                self.takes(at, call, &given, given.iter().all(is_bool));
                Type::Bool
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS
                | operators::EQUALS
                | operators::NOT_EQUALS,
                [left, right],
            ) => {
                let fits = left.plain() == right.plain() || (left.is_number() && right.is_number());
                self.takes(at, call, &given, fits);
                Type::Bool
            }
            (operators::ADD, [left, right]) => {
                let is_moved = matches!((left, right), (Type::Time, Type::Span) | (Type::Span, Type::Time));
                let fits = left.plain() == right.plain() && !matches!(left, Type::Bool | Type::Time);
                self.takes(at, call, &given, fits || is_moved);
                match (left, right) {
                    (Type::List(_), Type::List(_)) => Type::List(Box::new(Type::Any)),
                    _ => left.clone().or(right),
                }
            }
            (operators::SUBSTRACT, [Type::Time, _] | [_, Type::Time]) => Type::Any,
            (operators::SUBSTRACT, [Type::Span, Type::Span]) => Type::Span,
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
                let fits = left.plain() == right.plain() && left.is_number();
                self.takes(at, call, &given, fits);
                left.clone().or(right)
            }
            (operators::CONDITIONAL, [condition, one, other]) => {
                let is_bool = condition.plain().is_none_or(|plain| plain == "bool");
                if !is_bool {
                    self.takes(at, call, &given, false);
                }
                one.clone().or(other)
            }
            (operators::INDEX, [Type::List(inner) | Type::Map(inner), _]) => (**inner).clone(),
            (operators::IN | "startsWith" | "endsWith" | "contains" | "matches", _) => Type::Bool,
            ("size" | "int" | "indexOf", _) => Type::Int,
            ("string", [_]) => Type::Text,
            ("double", [_]) => Type::Double,
            _ => Type::Any,
        }
    }

    /// Notes a call whose arguments are all known and are not what it takes.
    fn takes(&mut self, at: usize, call: &CallExpr, given: &[Type], fits: bool) {
        let names: Option<Vec<&str>> = given.iter().map(Type::plain).collect();
        if let Some(names) = names.filter(|_| !fits) {
            let fault = format!(
                "found no matching overload for '{}' applied to '({})'",
                call.func_name,
                names.join(", ")
            );
            self.faults.push((at, fault));
        }
    }

    /// A macro over the items of a list or the keys of a map.
    fn comprehension(&mut self, over: &ComprehensionExpr) -> Type {
        let (first, second) = match self.expression(&over.iter_range) {
            Type::List(item) if over.iter_var2.is_none() => (*item, Type::Any),
            Type::List(item) => (Type::Int, *item),
            Type::Map(value) => (Type::Text, *value),
            _ => (Type::Any, Type::Any),
        };
        let start = self.expression(&over.accu_init);
        let start = match start {
            Type::List(_) => Type::List(Box::new(Type::Any)),
            Type::Map(_) => Type::Map(Box::new(Type::Any)),
            other => other,
        };
        let before = self.bound.len();
        self.accumulators.push(over.accu_var.clone());
        self.bound.push((over.accu_var.clone(), start));
        self.bound.push((over.iter_var.clone(), first));
        if let Some(name) = &over.iter_var2 {
            self.bound.push((name.clone(), second));
        }
        self.expression(&over.loop_cond);
        self.expression(&over.loop_step);
        let result = self.expression(&over.result);
        self.bound.truncate(before);
        self.accumulators.pop();
        result
    }
}

fn literal(value: &LiteralValue) -> Type {
    match value {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

fn one_of(kinds: Vec<Type>) -> Type {
    kinds
        .into_iter()
        .reduce(|one, other| one.or(&other))
        .unwrap_or(Type::Any)
}

fn located(expression: &str, place: usize, message: String) -> TypeFault {
    let before: String = expression.chars().take(place).collect();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    TypeFault {
        line: line + 1,
        column: column + 1,
        text: expression.split('\n').nth(line).unwrap_or_default().to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests;
