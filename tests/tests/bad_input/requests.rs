//! Requests that are refused: a table of mistakes, each made with both clients.

use std::{fs, path::Path, thread};

use serde_json::json;
use tests::{
    Sandbox,
    clients::{BOTH, Client, run_with_input},
};

/// What is there before the mistakes, and must be the same after them.
const KEPT: &str = "pods,services,configmaps,secrets,deployments,namespaces";

/// A mistake: words, standard input, and what both clients say (all of it).
struct Row {
    words: String,
    input: String,
    said: Vec<&'static str>,
}

fn row(words: &str, said: &[&'static str]) -> Row {
    Row {
        words: words.to_owned(),
        input: String::new(),
        said: said.to_vec(),
    }
}

/// Given to `create` and to `apply`.
fn manifest(input: &str, said: &[&'static str]) -> [Row; 2] {
    ["create -f -", "apply -f -"].map(|words| Row {
        input: input.to_owned(),
        ..row(words, said)
    })
}

fn config_map(name: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{rest}")
}

fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: wrong}}\nspec: {spec}\n")
}

fn service(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn deployment(name: &str, label: &str, replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {label}}}}}\n  template:\n    metadata: {{labels: {{app: idle}}}}\n    \
         spec: {{containers: [{{name: c, image: none}}]}}\n"
    )
}

/// The objects that the mistakes run into.
pub(crate) fn prepare(sandbox: &Sandbox) {
    let objects = [
        service(
            "first",
            "{type: NodePort, clusterIP: 10.43.9.9, ports: [{port: 80, nodePort: 30100}]}",
        ),
        config_map("there", "data: {a: b}\n"),
        deployment("idle", "idle", "0"),
    ];
    let said = Client::Kubectl.run(&sandbox.kubeconfig(), &["apply", "-f", "-"], &objects.join("---\n"));
    let _ = said.succeeded("make the objects to run into");
}

fn malformed(rows: &mut Vec<Row>) {
    let label = "a lowercase RFC 1123 subdomain must consist of";
    rows.extend(
        [
            manifest("kind: [ConfigMap\n", &["error", "line"]),
            manifest("# nothing\n", &["no objects passed to "]),
            manifest("just words\n", &["error"]),
            manifest("apiVersion: v1\nmetadata: {name: x}\n", &["kind"]),
            manifest(
                "apiVersion: v1\nkind: Gizmo\nmetadata: {name: x}\n",
                &["no matches for kind \"Gizmo\" in version \"v1\""],
            ),
            manifest(
                &config_map("wrong", "colour: red\n"),
                &[
                    "BadRequest",
                    "error when creating \"STDIN\"",
                    "strict decoding error: unknown field \"colour\"",
                ],
            ),
            manifest(
                &pod("{containers: [{name: c, image: i, imagePullPolice: Never}]}"),
                &["strict decoding error: unknown field \"spec.containers[0].imagePullPolice\""],
            ),
            manifest(
                &config_map("wrong", "data: {a: 5}\n"),
                &[
                    "BadRequest",
                    "cannot unmarshal number into Go struct field ConfigMap.data of type string",
                ],
            ),
            manifest(
                &deployment("wrong", "idle", "three"),
                &[
                    "BadRequest",
                    "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
                ],
            ),
            manifest(
                &deployment("wrong", "idle", "-1"),
                &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            manifest(
                &deployment("wrong", "other", "1"),
                &[
                    "The Deployment \"wrong\" is invalid: spec.template.metadata.labels",
                    "`selector` does not match template `labels`",
                ],
            ),
            manifest(
                &pod("{containers: []}"),
                &["The Pod \"wrong\" is invalid: spec.containers: Required value"],
            ),
            manifest(
                &pod("{containers: [{name: c}]}"),
                &["The Pod \"wrong\" is invalid: spec.containers[0].image: Required value"],
            ),
            manifest(
                &pod("{restartPolicy: Sometimes, containers: [{name: C_, image: i}]}"),
                &[
                    "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"",
                    "* spec.containers[0].name: Invalid value: \"C_\"",
                ],
            ),
            manifest(
                &pod("{containers: [{name: c, image: i, resources: {limits: {cpu: lots}}}]}"),
                &["quantities must match the regular expression"],
            ),
            manifest(
                &config_map("Bad_Name", ""),
                &["The ConfigMap \"Bad_Name\" is invalid: metadata.name", label],
            ),
            manifest(
                &config_map("there", "metadata: {name: there, labels: {a b: c}}\n")
                    .replace("metadata: {name: there}\n", ""),
                &["metadata.labels: Invalid value: \"a b\""],
            ),
            manifest(
                &config_map("x", "").replace("{name: x}", "{name: x, namespace: nowhere}"),
                &["NotFound", "namespaces \"nowhere\" not found"],
            ),
        ]
        .into_iter()
        .flatten(),
    );
    rows.push(Row {
        input: config_map("x", "").replace("{name: x}", "{}"),
        ..row(
            "create -f -",
            &["metadata.name: Required value: name or generateName is required"],
        )
    });
    rows.push(row(
        "run Bad_Name --image=i",
        &[
            "The Pod \"Bad_Name\" is invalid",
            "* metadata.name: Invalid value",
            label,
        ],
    ));
    rows.push(row(
        "create namespace a.b",
        &["The Namespace \"a.b\" is invalid: metadata.name: Invalid value"],
    ));
}

fn clashes(rows: &mut Vec<Row>) {
    let port_taken = "spec.ports[0].nodePort: Invalid value: 30100: provided port is already allocated";
    let out_of_range = "provided port is not in the valid range. The range of valid ports is 30000-32767";
    let address_taken = "failed to allocate IP 10.43.9.9: provided IP is already allocated";
    rows.extend(
        [
            manifest(
                &service("second", "{type: NodePort, ports: [{port: 80, nodePort: 30100}]}"),
                &["The Service \"second\" is invalid: ", port_taken],
            ),
            manifest(
                &service("second", "{clusterIP: 10.43.9.9, ports: [{port: 80}]}"),
                &["spec.clusterIPs: Invalid value: [\"10.43.9.9\"]", address_taken],
            ),
            manifest(
                &service("second", "{clusterIP: 1.2.3.4, ports: [{port: 80}]}"),
                &["The range of valid IPs is 10.43.0.0/16"],
            ),
            manifest(
                &service("second", "{clusterIP: everywhere, ports: [{port: 80}]}"),
                &["must be a valid IP address"],
            ),
            manifest(
                &service("second", "{ports: [{port: 99999}]}"),
                &["spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"],
            ),
            manifest(
                &service("second", "{type: NodePort, ports: [{port: 80, nodePort: 99999}]}"),
                &["spec.ports[0].nodePort: Invalid value: 99999", out_of_range],
            ),
            manifest(
                &service("second", "{ports: [{port: 80}, {port: 81}]}"),
                &[
                    "spec.ports[0].name: Required value",
                    "spec.ports[1].name: Required value",
                ],
            ),
            manifest(&service("second", "{ports: []}"), &["spec.ports: Required value"]),
        ]
        .into_iter()
        .flatten(),
    );
    rows.extend([
        row(
            "create service nodeport second --tcp=80 --node-port=30100",
            &[port_taken],
        ),
        row(
            "create service nodeport second --tcp=80 --node-port=99",
            &[out_of_range],
        ),
        row(
            "create service nodeport second --tcp=80 --node-port=many",
            &["many", "--node-port"],
        ),
        row(
            "create service clusterip second --tcp=80 --clusterip=10.43.9.9",
            &[address_taken],
        ),
        row("create service clusterip second --tcp=99999", &["99999"]),
        row(
            "expose deployment idle --port=80 --name=first",
            &["services \"first\" already exists"],
        ),
        row(
            "create configmap there --from-literal=a=c",
            &["configmaps \"there\" already exists"],
        ),
        row(
            "create deployment idle --image=i",
            &["deployments.apps \"idle\" already exists"],
        ),
    ]);
    rows.push(Row {
        input: deployment("idle", "idle", "0").replace("app: idle", "app: changed"),
        ..row(
            "apply -f -",
            &[
                "The Deployment \"idle\" is invalid: spec.selector",
                "field is immutable",
            ],
        )
    });
    rows.push(Row {
        input: service(
            "first",
            "{type: NodePort, clusterIP: 10.43.9.10, ports: [{port: 80, nodePort: 30100}]}",
        ),
        ..row(
            "apply -f -",
            &["spec.clusterIPs[0]: Invalid value", "may not change once set"],
        )
    });
    rows.push(Row {
        input: config_map("there", "data: {a: c}\n").replace("{name: there}", "{name: there, resourceVersion: \"1\"}"),
        ..row("apply -f -", &[
            "Conflict",
            "Operation cannot be fulfilled on configmaps \"there\": the object has been modified; please apply your \
             changes to the latest version and try again",
        ])
    });
    rows.push(row(
        "scale deployment idle --replicas=1 --current-replicas=7",
        &["Expected replicas to be 7, was 0"],
    ));
}

fn absent_objects_and_wrong_words(rows: &mut Vec<Row>) {
    rows.extend([
        row(
            "get pod nothing",
            &["Error from server (NotFound): pods \"nothing\" not found"],
        ),
        row(
            "get pods one two",
            &["pods \"one\" not found", "pods \"two\" not found"],
        ),
        row("get gizmos", &["the server doesn't have a resource type \"gizmos\""]),
        row(
            "describe pods one two",
            &["pods \"one\" not found", "pods \"two\" not found"],
        ),
        row(
            "logs nothing",
            &["rror from server (NotFound): pods \"nothing\" not found"],
        ),
        row(
            "delete pod nothing",
            &["Error from server (NotFound): pods \"nothing\" not found"],
        ),
        row(
            "delete configmap one two",
            &["configmaps \"one\" not found", "configmaps \"two\" not found"],
        ),
        row(
            "delete configmap",
            &["resource(s) were provided, but no name was specified"],
        ),
        row(
            "delete namespace kube-system",
            &["namespaces \"kube-system\" is forbidden: this namespace may not be deleted"],
        ),
        row(
            "scale deployment nothing --replicas=2",
            &["deployments.apps \"nothing\" not found"],
        ),
        row("scale deployment idle --replicas=-3", &["--replicas"]),
        row("scale deployment idle --replicas=3000000000", &["3000000000"]),
        row("scale deployment idle", &["replicas"]),
        row(
            "scale configmap there --replicas=2",
            &["could not find the requested resource"],
        ),
        row(
            "expose deployment nothing --port=80",
            &["deployments.apps \"nothing\" not found"],
        ),
        row("expose configmap there --port=80", &["cannot expose a"]),
        row("create deployment other", &["image"]),
        row("run other", &["image"]),
        row("run other --image=i --frobnicate", &["--frobnicate"]),
        row("get pods -o bogus", &["bogus"]),
        row(
            "get pods -l a=b=c",
            &[
                "BadRequest",
                "unable to parse requirement: found '=', expected: ',' or 'end of string'",
            ],
        ),
        row(
            "get pods --field-selector=spec.colour=red",
            &["BadRequest", "field label not supported: spec.colour"],
        ),
        row(
            "get pods,nothing",
            &["the server doesn't have a resource type \"nothing\""],
        ),
        row("apply -f /does/not/exist.yaml", &["/does/not/exist.yaml"]),
        row("apply", &["must specify", "-f"]),
        row("get pods --context=nowhere", &["nowhere"]),
        row("get pods --kubeconfig=/does/not/exist", &["/does/not/exist"]),
        row("frobnicate", &["frobnicate"]),
    ]);
    rows.push(Row {
        input: config_map("nothing", ""),
        ..row(
            "delete -f -",
            &[
                "NotFound",
                "error when deleting \"STDIN\": configmaps \"nothing\" not found",
            ],
        )
    });
}

fn too_large(directory: &Path, rows: &mut Vec<Row>) {
    // More than an object may hold; more than a request may.
    for (name, bytes, said) in [
        ("large", 2 << 20, "Too long: may not be more than 1048576 bytes"),
        ("larger", 4 << 20, "Request entity too large: limit is 3145728"),
    ] {
        let file = directory.join(name);
        fs::write(&file, "x".repeat(bytes)).expect("write a large file");
        rows.push(row(
            &format!("create configmap big --from-file=v={}", file.display()),
            &[said],
        ));
    }
}

/// Makes every mistake of the tables with both clients.
pub(crate) fn are_refused(sandbox: &Sandbox) {
    let kept = || {
        sandbox.kubectl(&[
            "get",
            KEPT,
            "-o",
            "jsonpath={range .items[*]}{.metadata.uid} {.kind}/{.metadata.name} {.metadata.generation} {.data}\n{end}",
        ])
    };
    let before = kept();
    let mut rows = Vec::new();
    malformed(&mut rows);
    clashes(&mut rows);
    absent_objects_and_wrong_words(&mut rows);
    too_large(sandbox.work_dir(), &mut rows);
    let mut failures = Vec::new();
    for Row { words, input, said } in rows {
        let list: Vec<&str> = words.split(' ').collect();
        for client in BOTH {
            let heard = client.run(&sandbox.kubeconfig(), &list, &input);
            let missing: Vec<&&str> = said.iter().filter(|text| !heard.err.contains(**text)).collect();
            if heard.success || !missing.is_empty() || !heard.out.is_empty() || heard.err.contains('\x1b') {
                failures.push(format!(
                    "{} {words}\n{input}  success: {}, not said: {missing:?}\n  said: {}{}",
                    client.name(),
                    heard.success,
                    heard.out,
                    heard.err
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of the mistakes:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(kept(), before, "mistakes change nothing");
    for client in BOTH {
        let said = client.run(
            &sandbox.kubeconfig(),
            &["delete", "pod", "nothing", "--ignore-not-found"],
            "",
        );
        assert_eq!((said.success, said.err.as_str()), (true, ""), "{}", client.name());
    }
}

/// `--validate=warn` drops what is unknown and says so; `ignore` says nothing.
pub(crate) fn warnings_are_shown(sandbox: &Sandbox) {
    for client in BOTH {
        for (mode, warning) in [("warn", "Warning: unknown field \"colour\"\n"), ("ignore", "")] {
            let name = format!("{mode}-{}", client.name());
            let words = ["create", "-f", "-", &format!("--validate={mode}")];
            let said = client.run(
                &sandbox.kubeconfig(),
                &words,
                &config_map(&name, "colour: red\ndata: {a: b}\n"),
            );
            assert_eq!((said.success, said.err.as_str()), (true, warning), "{name}");
            let made = sandbox.get(&["configmap", &name]).expect("it is made");
            assert_eq!(
                (&made["data"], &made["colour"]),
                (&json!({"a": "b"}), &json!(null)),
                "{name}"
            );
        }
    }
    // Fields that nothing acts upon: said when one is set, and not again when something else is changed.
    for client in BOTH {
        let run = |words: &[&str], input: &str| client.run(&sandbox.kubeconfig(), words, input);
        let manifest = |label: &str| {
            deployment("inert", "idle", "0")
                .replace("labels: {app: idle}", &format!("labels: {{app: idle, also: {label}}}"))
                .replace(
                    "image: none",
                    "image: none, ports: [{containerPort: 80, hostPort: 8080}]",
                )
        };
        let warning = "Warning: spec.template.spec.containers[0].ports[0].hostPort: nothing acts upon this field yet: ";
        let said = run(&["apply", "-f", "-"], &manifest("first"));
        assert!(
            said.success && said.err.starts_with(warning),
            "{}: {said:?}",
            client.name()
        );
        let said = run(&["apply", "-f", "-"], &manifest("second"));
        assert_eq!((said.success, said.err.as_str()), (true, ""), "{}", client.name());
        let _ = run(&["delete", "deployment", "inert"], "").succeeded("delete it");
    }
}

/// Many services ask for one port and one address at the same moment: each goes to exactly one of them.
pub(crate) fn two_claims_at_once_get_one_owner(sandbox: &Sandbox) {
    const CLAIMANTS: usize = 6;
    let claim = |number: usize| {
        let manifest = service(
            &format!("claimant-{number}"),
            "{type: NodePort, clusterIP: 10.43.8.8, ports: [{port: 80, nodePort: 30200}]}",
        );
        BOTH[number % BOTH.len()].run(&sandbox.kubeconfig(), &["create", "-f", "-"], &manifest)
    };
    let heard: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..CLAIMANTS)
            .map(|number| scope.spawn(move || claim(number)))
            .collect();
        all.into_iter().map(|one| one.join().expect("a claim")).collect()
    });
    let refused = |text: &str| {
        heard
            .iter()
            .filter(|said| !said.success && said.err.contains(text))
            .count()
    };
    assert_eq!(heard.iter().filter(|said| said.success).count(), 1, "{heard:?}");
    assert_eq!(refused("already allocated"), CLAIMANTS - 1, "{heard:?}");
}

/// Clients without a server, or without a kubeconfig.
pub(crate) fn without_a_server() {
    let directory = tempfile::tempdir().expect("make a directory");
    let kubeconfig = directory.path().join("kubeconfig");
    // Nobody listens on port 1.
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
                clusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\nusers: [{name: u, user: {token: none}}]\n";
    fs::write(&kubeconfig, text).expect("write a kubeconfig");
    for words in [
        "get pods",
        "describe pod x",
        "delete pod x",
        "logs x",
        "scale deployment x --replicas=1",
        "run x --image=i",
        "create namespace x",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        for (client, said) in [
            (Client::Kubectl, "127.0.0.1:1 was refused"),
            (
                Client::Skep,
                "the server https://127.0.0.1:1 cannot be reached (Connection refused",
            ),
        ] {
            let heard = client.run(&kubeconfig, &words, "");
            assert!(
                !heard.success && heard.err.contains(said),
                "{} {words:?}: {heard:?}",
                client.name()
            );
        }
    }
    for (name, content, said) in [
        ("broken", Some("clusters: ["), "parse kubeconfig"),
        ("empty", Some(""), "context"),
        ("absent", None, "there is no kubeconfig"),
    ] {
        let file = directory.path().join(name);
        if let Some(content) = content {
            fs::write(&file, content).expect("write a kubeconfig");
        }
        let heard = Client::Skep.run(&file, &["get", "pods"], "");
        assert!(!heard.success && heard.err.contains(said), "{name}: {heard:?}");
    }
    // An answer that is none of the API.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("an address");
    let answering = thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    fs::write(&kubeconfig, text.replace("127.0.0.1:1", &address.to_string())).expect("write a kubeconfig");
    let heard = Client::Skep.run(&kubeconfig, &["get", "pods"], "");
    assert!(!heard.success && heard.err.contains("cannot be reached"), "{heard:?}");
    answering.join().expect("the listener");
}

/// A command of the long-running ones with wrong flags: it ends at once and says which.
pub(crate) fn refuse(words: &[&str], said: &str) {
    let mut command = std::process::Command::new(tests::programs::skep());
    command.args(words);
    let heard = run_with_input(command, "");
    let all = format!("{}{}", heard.out, heard.err);
    assert!(!heard.success && all.contains(said), "{words:?}: {heard:?}");
}
