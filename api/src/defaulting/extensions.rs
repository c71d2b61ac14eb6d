//! Defaults of `apiextensions.k8s.io` and `apiregistration.k8s.io`.

use serde_json::{Map, Value, json};

use super::fields::{child, set_default, text};

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    match kind {
        "APIService" => {
            if let Some(service) = child(spec, "service") {
                set_default(service, "port", 443);
            }
        }
        "CustomResourceDefinition" => definition(spec),
        _ => {}
    }
}

fn definition(spec: &mut Map<String, Value>) {
    if let Some(names) = child(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            set_default(names, "singular", kind.to_lowercase());
            set_default(names, "listKind", format!("{kind}List"));
        }
    }
    set_default(spec, "conversion", json!({}));
    if let Some(conversion) = child(spec, "conversion") {
        set_default(conversion, "strategy", "None");
        let service = child(conversion, "webhook")
            .and_then(|webhook| child(webhook, "clientConfig"))
            .and_then(|config| child(config, "service"));
        if let Some(service) = service {
            set_default(service, "port", 443);
        }
    }
}
