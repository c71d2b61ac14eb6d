//! The older document format, from the newer one.

use serde_json::{Map, Value, json};

/// Rewrites an OpenAPI v3 document of ours as Swagger 2.0.
pub(super) fn from_v3(mut document: Value) -> Value {
    let mut paths = document["paths"].take();
    for item in values_mut(&mut paths) {
        for (name, part) in item.as_object_mut().into_iter().flatten() {
            if name == "parameters" {
                parameters(part);
            } else {
                operation(part);
            }
        }
    }
    let mut definitions = document["components"]["schemas"].take();
    values_mut(&mut definitions).for_each(schema);
    json!({
        "swagger": "2.0",
        "info": document["info"],
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": document["components"]["securitySchemes"],
    })
}

fn operation(operation: &mut Value) {
    let Some(fields) = operation.as_object_mut() else {
        return;
    };
    let mut list = match fields.remove("parameters") {
        Some(mut list) => {
            parameters(&mut list);
            list.as_array().cloned().unwrap_or_default()
        }
        None => Vec::new(),
    };
    fields.insert("schemes".to_owned(), json!(["https"]));
    fields.insert("consumes".to_owned(), json!(["*/*"]));
    fields.insert("produces".to_owned(), json!(["application/json"]));
    if let Some(mut body) = fields.remove("requestBody") {
        if let Some(content) = body["content"].as_object() {
            fields.insert("consumes".to_owned(), content.keys().cloned().collect());
        }
        let required = body["required"] == true;
        if let Some(mut body_schema) = values_mut(&mut body["content"])
            .next()
            .map(|media| media["schema"].take())
        {
            schema(&mut body_schema);
            list.push(json!({ "name": "body", "in": "body", "required": required, "schema": body_schema }));
        }
    }
    if !list.is_empty() {
        fields.insert("parameters".to_owned(), Value::Array(list));
    }
    if let Some(responses) = fields.get_mut("responses") {
        for response in values_mut(responses) {
            let Some(mut content) = response.as_object_mut().and_then(|fields| fields.remove("content")) else {
                continue;
            };
            if let Some(mut answer) = values_mut(&mut content).next().map(|media| media["schema"].take()) {
                schema(&mut answer);
                response["schema"] = answer;
            }
        }
    }
}

/// A parameter's type stands beside its name instead of in a schema.
fn parameters(list: &mut Value) {
    for parameter in list.as_array_mut().into_iter().flatten() {
        let Some(fields) = parameter.as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(schema)) = fields.remove("schema") {
            fields.extend(schema);
        }
    }
}

/// References point elsewhere, stand beside their siblings, and there are no alternatives.
fn schema(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    if let Some(mut all) = fields.remove("allOf") {
        let inner = all[0].take();
        fields.extend(inner.as_object().cloned().unwrap_or_default());
    }
    if fields.remove("oneOf").is_some() {
        fields.insert("type".to_owned(), json!("string"));
    }
    if let Some(Value::String(target)) = fields.get_mut("$ref") {
        *target = target.replace("#/components/schemas/", "#/definitions/");
    }
    if let Some(properties) = fields.get_mut("properties") {
        values_mut(properties).for_each(schema);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            schema(inner);
        }
    }
}

fn values_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}
