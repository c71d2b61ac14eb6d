//! Whether two runs of a script end alike, whatever was drawn by lot on the way.

use serde_json::Value;

use super::{Cluster, Disturbance};

/// Seeds tried with each script; `SIMULATION_SEED` runs one alone.
const SEEDS: u64 = 25;

/// Fields that two runs may differ in: identities, times, counters of writes, and which node was drawn.
const DRAWN: [&str; 22] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "observedGeneration",
    "lastTransitionTime",
    "lastUpdateTime",
    "lastHeartbeatTime",
    "lastProbeTime",
    "timeAdded",
    "renewTime",
    "deletionTimestamp",
    "nodeName",
    "podIP",
    "podIPs",
    "addresses",
    "targetRef",
    "podCIDR",
    "podCIDRs",
    "ownerReferences",
    "message",
    "deployment.kubernetes.io/max-replicas",
];

/// Runs the script undisturbed, then with each seed disturbed, and compares the objects at the end.
///
/// # Panics
/// With the seed, when a run ends otherwise or never comes to rest.
pub(crate) fn assert_robust(script: fn(&mut Cluster)) {
    let mut calm = Cluster::new(0, Disturbance::default());
    script(&mut calm);
    calm.assert_at_rest();
    let wanted = summary(&calm);
    let seeds = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=SEEDS).collect(),
    };
    for seed in seeds {
        println!("SIMULATION_SEED={seed}");
        let mut disturbed = Cluster::new(
            seed,
            Disturbance {
                kill: 5 + seed % 20,
                duplicate: 20,
                reorder: 60,
                stale: 30 + seed % 40,
            },
        );
        script(&mut disturbed);
        disturbed.assert_at_rest();
        let found = summary(&disturbed);
        let missing: Vec<&String> = wanted.iter().filter(|line| !found.contains(line)).collect();
        let added: Vec<&String> = found.iter().filter(|line| !wanted.contains(line)).collect();
        assert!(
            wanted == found,
            "SIMULATION_SEED={seed} ends otherwise: missing {missing:#?}, instead {added:#?} \
             ({} and {} objects)",
            wanted.len(),
            found.len()
        );
    }
}

/// Every object but Leases as a line, without what was drawn, in order.
fn summary(cluster: &Cluster) -> Vec<String> {
    let mut lines: Vec<String> = api::Kind::ALL
        .iter()
        .filter(|kind| **kind != api::Kind::Lease)
        .flat_map(|kind| cluster.server.world.of_kind(*kind))
        .map(|object| {
            let mut json = object.to_json();
            if object.metadata().generate_name.is_some() {
                json["metadata"]["name"].take();
            }
            strip(&mut json);
            json.to_string()
        })
        .collect();
    lines.sort();
    lines
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !DRAWN.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(strip);
            // Conditions stand in the order in which they came up; endpoints in that of their addresses.
            items.sort_by_key(Value::to_string);
        }
        _ => {}
    }
}
