//! Pods whose image is not there: what they say, and that they run once it is.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Sandbox, clients::BOTH, wait_for};

/// Back-off between attempts to get an image begins at ten seconds, and doubles.
const NEXT_ATTEMPT_WITHIN: Duration = Duration::from_secs(45);

struct Lacking {
    name: &'static str,
    image: &'static str,
    policy: &'static str,
    /// Why its container waits: any of these.
    waits_for: &'static [&'static str],
    /// Reason and part of the message of its event.
    event: (&'static str, &'static str),
}

const PODS: [Lacking; 4] = [
    Lacking {
        name: "never",
        image: "skep.test/absent:1",
        policy: "Never",
        waits_for: &["ErrImageNeverPull"],
        event: ("ErrImageNeverPull", "is not present with pull policy of Never"),
    },
    Lacking {
        name: "absent",
        image: "skep.test/absent:1",
        policy: "IfNotPresent",
        waits_for: &["ErrImagePull", "ImagePullBackOff"],
        event: ("Failed", "Failed to pull image \"skep.test/absent:1\""),
    },
    Lacking {
        name: "misnamed",
        image: "Not An Image!",
        policy: "IfNotPresent",
        waits_for: &["InvalidImageName"],
        event: ("InspectFailed", "couldn't parse image name"),
    },
    Lacking {
        name: "late",
        image: "skep.test/late:1",
        policy: "IfNotPresent",
        waits_for: &["ErrImagePull", "ImagePullBackOff"],
        event: ("Failed", "Failed to pull image \"skep.test/late:1\""),
    },
];

/// Makes the pods, and an image that is late.
pub(crate) fn run_pods_without_images(sandbox: &Sandbox) {
    let pods = PODS.map(|Lacking { name, image, policy, .. }| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": image, "imagePullPolicy": policy, "command": ["/bin/sleep", "1000"]}]}})
    });
    sandbox.apply(&json!({"apiVersion": "v1", "kind": "List", "items": pods}));
}

/// Each pod's reason for waiting, its event, and that both clients show the reason. Then the late image comes.
pub(crate) fn pods_say_what_they_lack(sandbox: &Sandbox) {
    for Lacking {
        name,
        waits_for: reasons,
        event: (event, message),
        ..
    } in PODS
    {
        let seen = wait_for(&format!("pod {name} to say {reasons:?}"), NEXT_ATTEMPT_WITHIN, || {
            let pod = sandbox.get(&["pod", name])?;
            let waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
            reasons
                .iter()
                .any(|reason| waiting["reason"] == **reason)
                .then_some(pod)
        });
        assert_eq!(seen["status"]["phase"], "Pending", "{name}");
        for client in BOTH {
            let shown = client
                .run(&sandbox.kubeconfig(), &["get", "pod", name, "--no-headers"], "")
                .succeeded(name);
            assert!(
                reasons.iter().any(|reason| shown.contains(reason)),
                "{}: {shown}",
                client.name()
            );
        }
        let selector = format!("involvedObject.name={name},type=Warning");
        let found = wait_for(&format!("a {event} event of pod {name}"), NEXT_ATTEMPT_WITHIN, || {
            let events = sandbox.get(&["events", "--field-selector", &selector])?;
            let is_it = |found: &&Value| {
                found["reason"] == event && found["message"].as_str().is_some_and(|text| text.contains(message))
            };
            events["items"].as_array()?.iter().find(is_it).cloned()
        });
        assert_eq!(found["involvedObject"]["kind"], "Pod");
    }

    let archive = late_image(sandbox);
    tests::sandbox::run(sandbox.command(&["load", &archive]));
    wait_for("the late image's pod to run", NEXT_ATTEMPT_WITHIN, || {
        let pod = sandbox.get(&["pod", "late"])?;
        (pod["status"]["phase"] == "Running").then_some(())
    });
}

/// An archive of a shell under the name of the late image.
fn late_image(sandbox: &Sandbox) -> String {
    let file = sandbox.work_dir().join("late.tar");
    let image = xtask::image::busybox("skep.test/late:1").expect("build the image");
    image.write(&file).expect("write the image");
    file.to_string_lossy().into_owned()
}
