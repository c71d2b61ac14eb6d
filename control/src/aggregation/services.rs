//! The APIServices that leave a version to another server.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use rustls::client::ResolvesClientCert;
use serde_json::Value;

use crate::{followed::Fold, reach::Destination};

/// Another server, as an APIService describes it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(super) spec: Value,
    destination: OnceLock<Result<Destination, String>>,
}

/// A server, and whether it can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) remote: Arc<Remote>,
    pub(crate) is_available: bool,
}

/// Those that there are, by their name, which is `VERSION.GROUP`.
#[derive(Default)]
pub(super) struct Services(HashMap<String, Found>);

impl Remote {
    /// The name of its APIService.
    pub(super) fn name(&self) -> String {
        name(&self.group, &self.version)
    }

    /// `apis/GROUP/VERSION`
    pub(super) fn openapi_path(&self) -> String {
        format!("apis/{}/{}", self.group, self.version)
    }

    pub(super) fn destination(
        &self,
        identity: impl FnOnce() -> Arc<dyn ResolvesClientCert>,
    ) -> Result<&Destination, &str> {
        let read = || Destination::of_api_service(&self.spec, identity()).map_err(|error| error.to_string());
        self.destination.get_or_init(read).as_ref().map_err(String::as_str)
    }

    fn rank(&self, field: &str) -> i64 {
        self.spec[field].as_i64().unwrap_or_default()
    }
}

impl Services {
    pub(super) fn find(&self, group: &str, version: &str) -> Option<Found> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&name(group, version)).cloned()
    }

    /// All of them, those that rank first in front.
    pub(super) fn ranked(&self) -> Vec<Found> {
        let mut all: Vec<Found> = self.0.values().cloned().collect();
        all.sort_by(|one, two| {
            let (one, two) = (&one.remote, &two.remote);
            let by = |field: &str| two.rank(field).cmp(&one.rank(field));
            by("groupPriorityMinimum")
                .then_with(|| one.group.cmp(&two.group))
                .then_with(|| by("versionPriority"))
                .then_with(|| one.version.cmp(&two.version))
        });
        all
    }
}

impl Fold for Services {
    type Part = ();
    const PARTS: &'static [()] = &[()];

    fn collection((): ()) -> &'static str {
        "apiregistration.k8s.io/apiservices"
    }

    fn fold(&mut self, (): (), _namespace: &str, name: &str, object: Option<&Value>) {
        let Some(object) = object.filter(|object| object["spec"]["service"].is_object()) else {
            self.0.remove(name);
            return;
        };
        let conditions = object["status"]["conditions"].as_array();
        let is_available = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Available" && condition["status"] == "True");
        let spec = &object["spec"];
        let present = self.0.remove(name).map(|found| found.remote);
        let remote = present.filter(|remote| remote.spec == *spec).unwrap_or_else(|| {
            let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
            Arc::new(Remote {
                group: text("group"),
                version: text("version"),
                spec: spec.clone(),
                destination: OnceLock::new(),
            })
        });
        self.0.insert(name.to_owned(), Found { remote, is_available });
    }
}

fn name(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_keeps_its_connections_until_its_spec_changes() {
        let mut services = Services::default();
        let spec = |port: u16| {
            json!({
                "group": "g", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                "service": { "namespace": "n", "name": "s", "port": port },
            })
        };
        let object = |port: u16, available: &str| {
            json!({
                "spec": spec(port),
                "status": { "conditions": [{ "type": "Available", "status": available }] },
            })
        };
        services.fold((), "", "v1.g", Some(&object(443, "False")));
        let first = services.find("g", "v1").expect("it is there");
        assert!(!first.is_available);
        services.fold((), "", "v1.g", Some(&object(443, "True")));
        let second = services.find("g", "v1").expect("it is there");
        assert!(second.is_available && Arc::ptr_eq(&first.remote, &second.remote));
        services.fold((), "", "v1.g", Some(&object(8443, "True")));
        let third = services.find("g", "v1").expect("it is there");
        assert!(!Arc::ptr_eq(&second.remote, &third.remote));
        services.fold(
            (),
            "",
            "v1.g",
            Some(&json!({ "spec": { "group": "g", "version": "v1" } })),
        );
        assert!(services.find("g", "v1").is_none(), "it is served here now");
    }

    #[test]
    fn ranks_come_first() {
        let mut services = Services::default();
        for (group, version, priorities) in [
            ("b", "v1", (5, 1)),
            ("a", "v1", (5, 1)),
            ("a", "v2", (5, 9)),
            ("z", "v1", (9, 1)),
        ] {
            let spec = json!({
                "group": group, "version": version, "service": { "name": "s" },
                "groupPriorityMinimum": priorities.0, "versionPriority": priorities.1,
            });
            services.fold((), "", &name(group, version), Some(&json!({ "spec": spec })));
        }
        let ranked: Vec<String> = services.ranked().iter().map(|found| found.remote.name()).collect();
        assert_eq!(ranked, ["v1.z", "v2.a", "v1.a", "v1.b"]);
    }
}
