//! Defaults of `flowcontrol.apiserver.k8s.io`.

use serde_json::{Map, Value, json};

use super::fields::{child, set_default, set_default_number};

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    match kind {
        "FlowSchema" => set_default_number(spec, "matchingPrecedence", 1000),
        "PriorityLevelConfiguration" => {
            if let Some(exempt) = child(spec, "exempt") {
                set_default(exempt, "nominalConcurrencyShares", 0);
                set_default(exempt, "lendablePercent", 0);
            }
            if let Some(limited) = child(spec, "limited") {
                limits(limited);
            }
        }
        _ => {}
    }
}

fn limits(limited: &mut Map<String, Value>) {
    set_default(limited, "nominalConcurrencyShares", 30);
    set_default(limited, "lendablePercent", 0);
    set_default(limited, "limitResponse", json!({}));
    let queuing = child(limited, "limitResponse").and_then(|response| child(response, "queuing"));
    if let Some(queuing) = queuing {
        set_default_number(queuing, "queues", 64);
        set_default_number(queuing, "handSize", 8);
        set_default_number(queuing, "queueLengthLimit", 50);
    }
}
