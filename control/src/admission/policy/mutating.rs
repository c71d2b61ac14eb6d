//! What MutatingAdmissionPolicies make of an object.
//!
//! Pure. Never here: defaults, and whether what comes of it is an object of its kind (`engine::admit`).
//! Source: Kubernetes, "Mutating Admission Policy"; RFC 6902.

use api::{
    expression::{Expression, Scope as Names},
    fields::{self, Deduced, KindPlace, Place},
    patch::{self, PatchError},
};
use serde_json::Value;

use super::{Effect, Policy};

/// The lines of a policy, in the order in which they are in effect.
#[derive(Debug)]
pub(crate) struct Mutations {
    pub(crate) list: Vec<Mutation>,
    /// Whether the policy is asked again if others change the object after it.
    pub(crate) is_reinvoked: bool,
}

/// One line of a policy.
#[derive(Debug)]
pub(crate) struct Mutation {
    patch: PatchType,
    expression: Result<Expression, String>,
}

/// What the value of an expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatchType {
    /// Merged as server-side apply does.
    ApplyConfiguration,
    /// Operations on the object's JSON.
    JsonPatch,
}

/// A change to an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// To be merged into it.
    Configuration(Value),
    /// The operations of a JSON patch.
    Operations(Value),
}

impl Effect for Mutations {
    const POLICIES: &'static str = "admissionregistration.k8s.io/mutatingadmissionpolicies";
    const BINDINGS: &'static str = "admissionregistration.k8s.io/mutatingadmissionpolicybindings";

    fn parse(spec: &Value) -> Mutations {
        let list = spec["mutations"].as_array().into_iter().flatten();
        let parsed = list.map(|mutation| {
            let (patch, expression) = match mutation["patchType"].as_str() {
                Some("JSONPatch") => (PatchType::JsonPatch, &mutation["jsonPatch"]["expression"]),
                _ => (
                    PatchType::ApplyConfiguration,
                    &mutation["applyConfiguration"]["expression"],
                ),
            };
            Mutation {
                patch,
                expression: Expression::compile_mutation(expression.as_str().unwrap_or_default())
                    .map_err(|error| error.to_string()),
            }
        });
        Mutations {
            list: parsed.collect(),
            is_reinvoked: spec["reinvocationPolicy"] == "IfNeeded",
        }
    }
}

impl Policy<Mutations> {
    /// What one of its mutations wants to change, of a request whose names are given.
    ///
    /// # Errors
    /// Why it comes to nothing, in Kubernetes' words.
    pub(crate) fn change(&self, mutation: &Mutation, names: &mut Names) -> Result<Change, String> {
        let expression = mutation.expression.as_ref().map_err(Clone::clone)?;
        self.add_variables(names);
        let answer = expression
            .evaluate(names)
            .map_err(|error| format!("expression '{}' resulted in error: {error}", expression.text().trim()))?;
        match mutation.patch {
            PatchType::ApplyConfiguration => answer.into_configuration().map(Change::Configuration),
            PatchType::JsonPatch => answer.into_json_patch().map(Change::Operations),
        }
        .map_err(|error| error.to_string())
    }
}

impl Change {
    /// Changes an object of a kind; with no place given, one of which no schema says anything.
    ///
    /// # Errors
    /// Why that is not possible, in Kubernetes' words; the object is then as before.
    pub(crate) fn make(self, place: Option<KindPlace>, object: &mut Value) -> Result<(), String> {
        match self {
            Change::Configuration(config) => {
                let merged = match place {
                    Some(place) => merged(place, object, config),
                    None => merged(Deduced, object, config),
                };
                *object = merged.map_err(|why| format!("error applying patch: {why}"))?;
                Ok(())
            }
            Change::Operations(operations) => {
                let document = serde_json::to_vec(&operations).expect("a JSON value encodes into memory");
                match patch::json_patch(object, &document) {
                    // A patch whose test does not hold has nothing to do here.
                    Ok(()) | Err(PatchError::TestFailed(_)) => Ok(()),
                    Err(error) => Err(format!("JSONPatch: {error}")),
                }
            }
        }
    }
}

/// The object with what the configuration says.
fn merged<P: Place>(place: P, object: &Value, mut config: Value) -> Result<Value, String> {
    for field in ["apiVersion", "kind"] {
        config[field] = object[field].clone();
    }
    fields::extract(place, &config).map_err(|faults| {
        let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let detail = match list.as_slice() {
            [only] => only.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        format!("failed to convert patch object to typed object: {detail}")
    })?;
    let atomics = fields::atomics(place, &config);
    if !atomics.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomics.join(", ")
        ));
    }
    Ok(fields::merge(place, object, &config))
}

#[cfg(test)]
mod tests;
