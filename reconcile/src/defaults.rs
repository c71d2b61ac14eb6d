//! What every namespace is given: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.
//!
//! Source: Kubernetes' service account and root CA publisher controllers.

use std::collections::BTreeMap;

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::core::v1::{ConfigMap, Namespace, ServiceAccount},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};

use crate::{
    facts,
    plan::{Action, Context, Plan, Planner},
    world::World,
};

const SERVICE_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";

/// Plans what a namespace must hold, by the namespace's key.
#[derive(Debug)]
pub(crate) struct NamespaceDefaults {
    /// PEM
    pub(crate) root_ca: String,
}

impl Planner for NamespaceDefaults {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Namespace, Kind::ServiceAccount, Kind::ConfigMap]
    }

    fn affected(
        &self,
        _world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        let namespace = match changed.kind {
            Kind::Namespace if before.is_none() && after.is_some() => &changed.name,
            Kind::ServiceAccount if changed.name == SERVICE_ACCOUNT && after.is_none() => &changed.namespace,
            Kind::ConfigMap if changed.name == ROOT_CA => &changed.namespace,
            _ => return Vec::new(),
        };
        vec![ObjectKey::new(Kind::Namespace, "", namespace)]
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let mut plan = Plan::default();
        let namespace = key.name.as_str();
        if world.typed::<Namespace>("", namespace).is_none() || world.is_closing(namespace) {
            return plan;
        }
        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        if world.typed::<ServiceAccount>(namespace, SERVICE_ACCOUNT).is_none() {
            plan.actions.push(Action::Create(Box::new(
                ServiceAccount {
                    metadata: metadata(SERVICE_ACCOUNT),
                    ..ServiceAccount::default()
                }
                .into(),
            )));
        }
        let data = BTreeMap::from([(ROOT_CA_KEY.to_owned(), self.root_ca.clone())]);
        match world.typed::<ConfigMap>(namespace, ROOT_CA) {
            None => plan.actions.push(Action::Create(Box::new(
                ConfigMap {
                    metadata: metadata(ROOT_CA),
                    data: Some(data),
                    ..ConfigMap::default()
                }
                .into(),
            ))),
            Some(present) if present.data.as_ref() != Some(&data) && !facts::is_terminating(&present.metadata) => {
                let mut repaired = present.clone();
                repaired.data = Some(data);
                plan.actions.push(Action::Update(Box::new(repaired.into())));
            }
            Some(_) => {}
        }
        plan
    }
}

#[cfg(test)]
mod tests;
