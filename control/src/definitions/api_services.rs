//! An APIService for each version of a group that definitions add, and none for those that they add no more.
//!
//! Source: Kubernetes' crdregistration controller, by its output.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::caller;
use crate::{
    aggregation::row,
    engine::{ApiError, DeleteOptions, Engine, ListOptions, SERVER_MANAGER, WriteOptions, object},
};

/// Marks the ones that are made and deleted here.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const GROUP_PRIORITY: i64 = 1000;
const VERSION_PRIORITY: i64 = 100;

/// Makes what is missing and deletes what is left over.
pub(super) async fn settle(engine: &Engine) -> Result<(), ApiError> {
    let kinds = engine.registry().kinds();
    let wanted: BTreeSet<(&str, &str)> = kinds
        .rows()
        .iter()
        .filter(|row| row.custom.is_some())
        .map(|row| (row.group, row.version))
        .collect();
    let page = engine.list(row(), &ListOptions::default()).await?;
    let present: Vec<Value> = page.items.iter().map(object::decode).collect::<Result<_, _>>()?;
    let is_of = |service: &Value, (group, version): (&str, &str)| {
        service["spec"]["group"] == group && service["spec"]["version"] == version
    };
    for pair in &wanted {
        if !present.iter().any(|service| is_of(service, *pair)) {
            make(engine, *pair).await?;
        }
    }
    let is_ours = |service: &&Value| service["metadata"]["labels"][MANAGED] == "true";
    for service in present.iter().filter(is_ours) {
        if !wanted.iter().any(|pair| is_of(service, *pair)) {
            let name = object::meta_str(service, "name");
            match engine
                .delete(&caller(), row(), "", name, DeleteOptions::default())
                .await
            {
                Ok(_) | Err(ApiError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

async fn make(engine: &Engine, (group, version): (&str, &str)) -> Result<(), ApiError> {
    let service = json!({
        "metadata": { "name": format!("{version}.{group}"), "labels": { MANAGED: "true" } },
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": GROUP_PRIORITY,
            "versionPriority": VERSION_PRIORITY,
        },
    });
    let options = WriteOptions::by(SERVER_MANAGER);
    match engine.create(&caller(), row(), "", service, &options).await {
        Ok(_) | Err(ApiError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
