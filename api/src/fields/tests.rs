use serde_json::{Value, json};

use super::{
    Comparison, Configuration, Deduced, FieldSet, Filter, Managers, Operation, Typed, Writer, apply, compare, extract,
    is_reset, merge, track,
};

mod applying;
mod managing;
mod sets;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const POD: &str = "io.k8s.api.core.v1.Pod";
const SERVICE: &str = "io.k8s.api.core.v1.Service";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

fn place(definition: &str) -> Typed {
    Typed::root(definition).unwrap()
}

fn set(fields: Value) -> FieldSet {
    FieldSet::parse(&fields).unwrap()
}

fn writer<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "v1",
        subresource: "",
        filter: Filter::Except(&["status"]),
        now,
    }
}

const T1: &str = "2026-01-01T00:00:01Z";
const T2: &str = "2026-01-01T00:00:02Z";
const T3: &str = "2026-01-01T00:00:03Z";

fn managers(list: Value) -> Managers {
    Managers::parse(&list).unwrap()
}

fn entry(manager: &str, operation: &str, time: &str, fields: Value) -> Value {
    json!({
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    })
}
