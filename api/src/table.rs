//! Objects as the rows that `kubectl get` prints.
//!
//! Never here: list metadata and content negotiation, which the server adds.
//! Source: `pkg/printers/internalversion` of Kubernetes, by its output; `meta.k8s.io/v1` Table.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Resource;

/// What a row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Only the metadata: the default.
    Metadata,
    /// All of it.
    Object,
}

/// The table of `items` as of `now`; rows carry the objects' metadata.
#[must_use]
pub fn render(resource: &Resource, items: &[Value], now: Timestamp) -> Value {
    render_including(resource, items, now, IncludeObject::Metadata)
}

/// As [`render`], with the choice of what rows carry.
#[must_use]
pub fn render_including(_resource: &Resource, items: &[Value], _now: Timestamp, include: IncludeObject) -> Value {
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut row = json!({ "cells": [item["metadata"]["name"], item["metadata"]["creationTimestamp"]] });
            if let Some(object) = included(item, include) {
                row["object"] = object;
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [
            { "name": "Name", "type": "string", "format": "name", "description": "", "priority": 0 },
            { "name": "Created At", "type": "date", "format": "", "description": "", "priority": 0 },
        ],
        "rows": rows,
    })
}

fn included(item: &Value, include: IncludeObject) -> Option<Value> {
    match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": item["metadata"],
        })),
        IncludeObject::Object => Some(item.clone()),
    }
}
