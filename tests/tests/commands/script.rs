//! The commands that change something.

use std::fs;

use serde_json::{Value, json};
use tests::{
    Sandbox,
    clients::{BOTH, Client},
    images::{BUSYBOX, WEB},
    sandbox::SOON,
    wait_for,
};

use super::{in_namespace, namespace, printed};

/// A shell that prints what it is told, and ends when it is told.
const SAYS_AND_WAITS: &str = "trap 'exit 0' TERM; echo one; echo two; while true; do sleep 0.1; done";

const OBJECTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: red}\n---\n\
                       apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {password: czNjcmV0}\n---\n\
                       apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n";

fn two_containers() -> String {
    let container = |name: &str, script: &str| {
        format!("  - {{name: {name}, image: \"{BUSYBOX}\", command: [sh, -c, \"{script}\"]}}\n")
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: two}}\nspec:\n  restartPolicy: Never\n  containers:\n{}{}---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: again}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n{}",
        container("a", "for i in 1 2 3 4; do echo a$i; sleep 0.1; done"),
        container("b", "echo b1; echo b2"),
        container(
            "c",
            "echo started; [ -e /mark/x ] && sleep 1000; touch /mark/x; echo failed; exit 1"
        )
        .replace("]}", "], volumeMounts: [{name: mark, mountPath: /mark}]}")
            + "  volumes: [{name: mark, emptyDir: {}}]\n",
    )
}

/// A step: words, standard input, what is printed. `-n NAMESPACE` is put in front.
type Step<'a> = (Vec<&'a str>, &'a str, &'a str);

fn step<'a>(words: &'a str, input: &'a str, printed: &'a str) -> Step<'a> {
    (words.split(' ').collect(), input, printed)
}

/// Makes everything with one client, and checks what it prints at each step.
pub(crate) fn make(sandbox: &Sandbox, client: Client) {
    let namespace = namespace(client);
    let made = printed(sandbox, client, &["create", "namespace", &namespace], "");
    assert_eq!(made, format!("namespace/{namespace} created\n"));
    let directory = sandbox.work_dir().join(&namespace);
    fs::create_dir_all(&directory).expect("make a directory");
    for (name, value) in [("one", "1"), ("two", "2")] {
        let manifest =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: \"{value}\"}}\n");
        fs::write(directory.join(format!("{name}.yaml")), manifest).expect("write a manifest");
    }
    fs::write(directory.join("notes.txt"), "not a manifest").expect("write a file");
    let changed = OBJECTS.replace("colour: red", "colour: blue, size: large");
    let pods = two_containers();
    let deployment = format!("create deployment web --image={WEB} --replicas=1 --port=8080");
    let apply_directory = format!("apply -f {}", directory.display());
    let steps = [
        (
            vec![
                "run",
                "shell",
                "--image",
                BUSYBOX,
                "--restart=Never",
                "--labels=app=shell,tier=test",
                "--env=COLOUR=red",
                "--port=99",
                "--command",
                "--",
                "sh",
                "-c",
                SAYS_AND_WAITS,
            ],
            "",
            "pod/shell created\n",
        ),
        step(&deployment, "", "deployment.apps/web created\n"),
        step(
            "expose deployment web --port=80 --target-port=8080 --type=NodePort",
            "",
            "service/web exposed\n",
        ),
        step(
            "expose pod shell --port=99 --name=shell-service",
            "",
            "service/shell-service exposed\n",
        ),
        step("create -f -", &pods, "pod/two created\npod/again created\n"),
        step(
            "apply -f -",
            OBJECTS,
            "configmap/settings created\nsecret/key created\nserviceaccount/robot created\n",
        ),
        step(
            "apply -f -",
            OBJECTS,
            "configmap/settings unchanged\nsecret/key unchanged\nserviceaccount/robot unchanged\n",
        ),
        step(
            "apply -f -",
            &changed,
            "configmap/settings configured\nsecret/key unchanged\nserviceaccount/robot unchanged\n",
        ),
        step(&apply_directory, "", "configmap/one created\nconfigmap/two created\n"),
        step(
            &apply_directory,
            "",
            "configmap/one unchanged\nconfigmap/two unchanged\n",
        ),
        step("scale deployment web --replicas=2", "", "deployment.apps/web scaled\n"),
        step(
            "scale --current-replicas=2 --replicas=3 deployment/web",
            "",
            "deployment.apps/web scaled\n",
        ),
        step(
            "create configmap literal --from-literal=a=b --from-literal=c=d",
            "",
            "configmap/literal created\n",
        ),
        step(
            "create secret generic opaque --from-literal=a=b",
            "",
            "secret/opaque created\n",
        ),
        step("create serviceaccount helper", "", "serviceaccount/helper created\n"),
        step(
            "create service clusterip plain --tcp=80:8080",
            "",
            "service/plain created\n",
        ),
        step(
            "create service nodeport outside --tcp=81:8080",
            "",
            "service/outside created\n",
        ),
        step(
            "create service externalname away --external-name=example.org",
            "",
            "service/away created\n",
        ),
        step("run dry --image=i --dry-run=client", "", "pod/dry created (dry run)\n"),
        step(
            "run dry --image=i --dry-run=server",
            "",
            "pod/dry created (server dry run)\n",
        ),
        step("run dry --image=i --dry-run=client -o name", "", "pod/dry\n"),
    ];
    for (words, input, expected) in steps {
        let all: Vec<&str> = ["-n", &namespace].into_iter().chain(words).collect();
        assert_eq!(
            printed(sandbox, client, &all, input),
            expected,
            "{} {all:?}",
            client.name()
        );
    }
    wait_for("the deployment to be available", SOON, || {
        let web = sandbox.get(&["-n", &namespace, "deployment", "web"])?;
        (web["status"]["availableReplicas"] == 3
            && web["status"]["observedGeneration"] == web["metadata"]["generation"])
            .then_some(())
    });
}

/// The volume with a pod's token has letters of its own in its name.
fn same_token_volume(value: &mut Value) {
    match value {
        Value::String(name) if name.starts_with("kube-api-access-") => *value = json!("kube-api-access"),
        Value::Array(items) => items.iter_mut().for_each(same_token_volume),
        Value::Object(fields) => fields.values_mut().for_each(same_token_volume),
        _ => {}
    }
}

/// What an object says apart from what is different in every object.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "namespace",
        "managedFields",
    ] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    same_token_volume(&mut object["spec"]);
    if let Some(spec) = object["spec"].as_object_mut() {
        for field in ["clusterIP", "clusterIPs", "nodeName"] {
            spec.remove(field);
        }
        for port in spec
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
    object
}

/// Both clients' objects differ in nothing that matters.
pub(crate) fn made_the_same(sandbox: &Sandbox) {
    for name in [
        "pod/shell",
        "pod/two",
        "deployment/web",
        "service/web",
        "service/shell-service",
        "service/plain",
        "service/outside",
        "service/away",
        "configmap/settings",
        "configmap/one",
        "configmap/literal",
        "secret/key",
        "secret/opaque",
        "serviceaccount/robot",
        "serviceaccount/helper",
    ] {
        let [one, other] = BOTH.map(|client| {
            let object = sandbox.get(&["-n", &namespace(client), name]);
            essence(&object.unwrap_or_else(|| panic!("{name} of {} is not there", client.name())))
        });
        assert_eq!(one, other, "{name}");
    }
}

/// Deletes one by one, by file, by label, all of a kind; waits for what goes.
pub(crate) fn remove(sandbox: &Sandbox, client: Client) {
    let namespace = namespace(client);
    let from = format!(" from {namespace} namespace\n");
    for (words, input, expected) in [
        ("delete pod shell", "", format!("pod \"shell\" deleted{from}")),
        (
            "delete pod/two configmap/one",
            "",
            format!("pod \"two\" deleted{from}configmap \"one\" deleted{from}"),
        ),
        (
            "delete -f -",
            OBJECTS,
            format!(
                "configmap \"settings\" deleted{from}secret \"key\" deleted{from}serviceaccount \"robot\" deleted{from}"
            ),
        ),
        (
            "delete service -l app=web",
            "",
            format!("service \"web\" deleted{from}"),
        ),
        ("delete pod again --now", "", format!("pod \"again\" deleted{from}")),
        ("delete pod gone --ignore-not-found", "", String::new()),
        (
            "delete deployment web --wait=false",
            "",
            format!("deployment.apps \"web\" deleted{from}"),
        ),
        (
            "delete services --all -o name",
            "",
            "service/away\nservice/outside\nservice/plain\nservice/shell-service\n".to_owned(),
        ),
    ] {
        let all: Vec<&str> = ["-n", &namespace].into_iter().chain(words.split(' ')).collect();
        assert_eq!(
            printed(sandbox, client, &all, input),
            expected,
            "{} {words}",
            client.name()
        );
    }
    assert_eq!(in_namespace(sandbox, client, "get services,deployments"), "");
    let gone = printed(sandbox, client, &["delete", "namespace", &namespace], "");
    assert_eq!(gone, format!("namespace \"{namespace}\" deleted\n"));
    assert_eq!(sandbox.get(&["namespace", &namespace]), None, "deleted, and waited for");
}
