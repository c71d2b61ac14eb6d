//! The commands that show something.

use std::{
    fs::{self, File},
    process::{Child, Stdio},
};

use serde_json::Value;
use tests::{
    Sandbox,
    clients::{BOTH, Client},
    sandbox::SOON,
    wait_for,
};

use super::{in_namespace, namespace, printed};

const KINDS: [&str; 12] = [
    "pods",
    "nodes",
    "namespaces",
    "services",
    "endpointslices",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "deployments",
    "replicasets",
    "events",
    "leases",
];

/// Cells of a table; ages, which go on, are all alike.
fn cells(table: &str) -> Vec<Vec<String>> {
    let cell = |word: &str| {
        let is_age = word.ends_with(['s', 'm', 'h', 'd']) && word.starts_with(|first: char| first.is_ascii_digit());
        if is_age { "AGE".to_owned() } else { word.to_owned() }
    };
    table
        .lines()
        .map(|line| line.split_whitespace().map(cell).collect())
        .collect()
}

/// What both print of the same thing at (nearly) the same time: asked again when it has changed in between.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(sandbox: &Sandbox, words: &[&str], read: impl Fn(&str) -> T) {
    const ATTEMPTS_MAX: usize = 5;
    let ask = |client: Client| read(&printed(sandbox, client, words, ""));
    for _ in 0..ATTEMPTS_MAX {
        let (before, ours, after) = (ask(Client::Kubectl), ask(Client::Skep), ask(Client::Kubectl));
        if ours == before || ours == after {
            return;
        }
        if before == after {
            assert_eq!(ours, before, "{words:?}: skep's is left, kubectl's right");
        }
    }
    panic!("{words:?} changes all the time");
}

/// Tables of every kind in every form.
pub(crate) fn tables_are_the_same(sandbox: &Sandbox) {
    let namespace = namespace(Client::Kubectl);
    for kind in KINDS {
        for form in ["-o wide", "-A -o wide --no-headers", "--show-labels"] {
            let words: Vec<&str> = ["-n", &namespace, "get", kind]
                .into_iter()
                .chain(form.split(' '))
                .collect();
            same(sandbox, &words, cells);
        }
    }
    for words in [
        "get pods -l app=web",
        "get pods -l app in (web,shell),tier!=none -o name",
        "get pods --field-selector=status.phase=Running -o name",
        "get pods --field-selector status.phase!=Running",
        "get pod shell two",
        "get pod/shell service/web deployment/web",
        "get pods,services,deploy",
        "get all",
        "get po,svc -o name",
        "get deployments.apps web",
        "get deployment.v1.apps web",
        "get cm settings --no-headers",
        "get pod none --ignore-not-found",
    ] {
        // "in (" has a blank of its own.
        let words = words.replace(" in ", "\tin\t");
        let words: Vec<String> = words.split(' ').map(|word| word.replace('\t', " ")).collect();
        let words: Vec<&str> = ["-n", &namespace]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        same(sandbox, &words, cells);
    }
}

/// JSON and YAML hold the same; YAML that one wrote is read by the other.
pub(crate) fn documents_are_the_same(sandbox: &Sandbox) {
    let namespace = namespace(Client::Kubectl);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let documents = |text: &str| -> Vec<Value> {
        let all = serde_json::Deserializer::from_str(text).into_iter();
        all.collect::<Result<_, _>>().expect("JSON documents")
    };
    // kubectl reads both, so that its reading compares them.
    let yaml = |text: &str| {
        let words = [
            "create",
            "-f",
            "-",
            "--dry-run=client",
            "--validate=false",
            "-o",
            "json",
        ];
        documents(
            &Client::Kubectl
                .run(&sandbox.kubeconfig(), &words, text)
                .succeeded("read YAML"),
        )
    };
    for what in [
        "pod shell",
        "pods",
        "deployment web",
        "services,configmaps",
        "secret key",
        "pod/shell service/web",
    ] {
        let words: Vec<&str> = ["-n", &namespace, "get"].into_iter().chain(what.split(' ')).collect();
        same(sandbox, &[&words[..], &["-o", "json"]].concat(), json);
        same(sandbox, &[&words[..], &["-o", "yaml"]].concat(), yaml);
    }
    // What one printed is taken by the other as it is, resourceVersion and all.
    for client in BOTH {
        let words = ["-n", &namespace, "get", "configmap", "settings", "-o", "yaml"];
        let text = printed(sandbox, Client::Skep, &words, "");
        let applied = printed(sandbox, client, &["apply", "-f", "-"], &text);
        assert!(applied.starts_with("configmap/settings "), "{applied}");
    }
}

/// A client that follows changes, killed at the end.
struct Following {
    child: Child,
    file: std::path::PathBuf,
}

impl Following {
    fn start(sandbox: &Sandbox, client: Client, words: &str) -> Self {
        let file = sandbox.work_dir().join(format!("watch-{}", client.name()));
        let words: Vec<&str> = words.split(' ').collect();
        let child = client
            .command(&sandbox.kubeconfig(), &words)
            .stdin(Stdio::null())
            .stdout(File::create(&file).expect("make a file"))
            .spawn()
            .expect("start a watch");
        Self { child, file }
    }

    fn lines(&self) -> Vec<Vec<String>> {
        cells(&fs::read_to_string(&self.file).expect("read what it printed"))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `-w` prints what is there, and then every change.
pub(crate) fn watches_show_changes(sandbox: &Sandbox) {
    let namespace = namespace(Client::Skep);
    for (words, change, wanted) in [
        (
            "get deployment web -w",
            "scale deployment web --replicas=4",
            &["web", "4/4", "4", "4"][..],
        ),
        (
            "get deployments -w -o wide",
            "scale deployment web --replicas=3",
            &["web", "3/3", "3", "3"],
        ),
        ("get configmaps --watch-only -l new=yes", "label", &["fresh", "1"]),
        ("get pods -w -o name", "pod", &["pod/fresh"]),
    ] {
        let words = format!("-n {namespace} {words}");
        let watching = BOTH.map(|client| Following::start(sandbox, client, &words));
        if !words.contains("watch-only") {
            for follows in &watching {
                wait_for(&format!("{words} to begin"), SOON, || {
                    (!follows.lines().is_empty()).then_some(())
                });
            }
        }
        match change {
            "label" => {
                // A watch that begins with the future says nothing when it is there: changed until both have seen it.
                let mut count = 0;
                wait_for("both to see a new configmap", SOON, || {
                    count += 1;
                    let manifest = format!(
                        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: fresh, namespace: {namespace}, labels: {{new: \"yes\"}}}}\n\
                         data: {{count: \"{count}\"}}\n"
                    );
                    printed(sandbox, Client::Skep, &["apply", "-f", "-"], &manifest);
                    watching
                        .iter()
                        .all(|follows| {
                            follows
                                .lines()
                                .iter()
                                .any(|line| line.starts_with(&["fresh".to_owned()]))
                        })
                        .then_some(())
                });
                continue;
            }
            "pod" => {
                in_namespace(
                    sandbox,
                    Client::Skep,
                    "run fresh --image=none --image-pull-policy=Never",
                );
            }
            words => {
                in_namespace(sandbox, Client::Skep, words);
            }
        }
        for follows in &watching {
            wait_for(&format!("{words} to show {wanted:?}"), SOON, || {
                let lines = follows.lines();
                lines
                    .iter()
                    .any(|line| line.iter().zip(wanted).all(|(cell, want)| cell == want))
                    .then_some(())
            });
        }
    }
    in_namespace(sandbox, Client::Skep, "delete pod fresh --now");
    in_namespace(sandbox, Client::Skep, "delete configmap fresh");
}

/// What each description must hold, whoever prints it: all kinds.
pub(crate) fn descriptions_have_what_matters(sandbox: &Sandbox) {
    let node = sandbox.node(1);
    for client in BOTH {
        let namespace = namespace(client);
        let first = |kind: &str, selector: &str| {
            let list = sandbox.get(&["-n", &namespace, kind, "-l", selector]).expect("a list");
            list["items"][0]["metadata"]["name"]
                .as_str()
                .expect("one of them")
                .to_owned()
        };
        let (slice, set) = (
            first("endpointslices", "kubernetes.io/service-name=web"),
            first("replicasets", "app=web"),
        );
        let event = in_namespace(
            sandbox,
            client,
            "get events --field-selector=involvedObject.name=shell,reason=Started -o name",
        );
        let event = event.trim().split_once('/').expect("one event").1.to_owned();
        for (words, holds) in [
            (
                "pod shell".to_owned(),
                &[
                    "shell",
                    "Running",
                    "app=shell",
                    "tier=test",
                    "COLOUR:",
                    "Scheduled",
                    "Started container shell",
                    "PodScheduled",
                ][..],
            ),
            (
                format!("node {node}"),
                &[
                    "kubernetes.io/hostname=",
                    "MemoryPressure",
                    "InternalIP:",
                    "Capacity:",
                    "Allocatable:",
                    "PodCIDRs:",
                    "kubelet is posting ready status",
                ],
            ),
            (
                format!("namespace {namespace}"),
                &["kubernetes.io/metadata.name=", "Active"],
            ),
            (
                "service web".to_owned(),
                &["app=web", "NodePort", "80/TCP", "8080/TCP", ":8080,"],
            ),
            (
                format!("endpointslice {slice}"),
                &["kubernetes.io/service-name=web", "IPv4", "8080", "Pod"],
            ),
            ("configmap settings".to_owned(), &["colour:", "blue", "size:", "large"]),
            ("secret key".to_owned(), &["Opaque", "password:", "6 bytes"]),
            ("serviceaccount robot".to_owned(), &["robot"]),
            (
                "deployment web".to_owned(),
                &[
                    "app=web",
                    "3 desired | 3 updated | 3 total | 3 available | 0 unavailable",
                    "RollingUpdate",
                    "25% max unavailable, 25% max surge",
                    "MinimumReplicasAvailable",
                    "ScalingReplicaSet",
                ],
            ),
            (
                format!("rs {set}"),
                &[
                    "3 current / 3 desired",
                    "3 Running / 0 Waiting / 0 Succeeded / 0 Failed",
                    "Deployment/web",
                    "SuccessfulCreate",
                ],
            ),
            (
                format!("event {event}"),
                &["Started", "Started container shell", "Normal", "shell"],
            ),
            (
                format!("lease {node} -n kube-node-lease"),
                &["Lease", "Renew Time:", "40"],
            ),
        ] {
            let text = in_namespace(sandbox, client, &format!("describe {words}"));
            for part in holds {
                assert!(
                    text.contains(part),
                    "{} describe {words} lacks {part:?}:\n{text}",
                    client.name()
                );
            }
            let name = words.split(' ').nth(1).expect("a name");
            let has_name = text
                .lines()
                .any(|line| line.starts_with("Name:") && line.ends_with(&format!(" {name}")));
            assert!(has_name, "{} describe {words}:\n{text}", client.name());
            assert!(
                !text.contains("s3cret") && !text.contains("czNjcmV0"),
                "secrets are not shown"
            );
        }
    }
}

/// A pod's start, as lists and descriptions show it: within one second, and still in order.
pub(crate) fn events_are_in_the_order_in_which_they_happened(sandbox: &Sandbox) {
    const STEPS: [&str; 4] = ["Scheduled", "Pulled", "Created", "Started"];
    for client in BOTH {
        let listed = wait_for("the events of the pod's start", SOON, || {
            let text = in_namespace(
                sandbox,
                client,
                "get events --field-selector=involvedObject.name=shell -o json",
            );
            let list: Value = serde_json::from_str(&text).expect("JSON");
            let events = list["items"].as_array().expect("items").clone();
            (events.len() >= STEPS.len()).then_some(events)
        });
        let reasons: Vec<&str> = listed.iter().filter_map(|event| event["reason"].as_str()).collect();
        assert_eq!(reasons, STEPS, "{} get events", client.name());
        let text = in_namespace(sandbox, client, "describe pod shell");
        let (_, events) = text.split_once("\nEvents:").expect("a section of events");
        let shown: Vec<&str> = events
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .filter(|word| STEPS.contains(word))
            .collect();
        assert_eq!(shown, STEPS, "{} describe", client.name());
    }
}
