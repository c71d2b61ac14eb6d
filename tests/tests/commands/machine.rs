//! Commands about the machine: the dataplane, images, sandboxes, completion; and how a server is found.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use serde_json::Value;
use tests::{
    Sandbox,
    clients::{BOTH, Client, run_with_input},
    programs,
    sandbox::{SOON, run},
    wait_for,
};

use super::{namespace, printed};

fn net(sandbox: &Sandbox, what: &str) -> Vec<Value> {
    let text = printed(sandbox, Client::Skep, &["net", what, "-o", "json"], "");
    let Ok(Value::Array(nodes)) = serde_json::from_str(&text) else {
        panic!("net {what} prints no list: {text}")
    };
    let names: Vec<&str> = nodes.iter().filter_map(|node| node["node"].as_str()).collect();
    assert_eq!(names, sandbox.nodes(), "net {what}: one answer of each node");
    nodes
}

/// `net services|endpoints|conntrack`, as JSON and as tables.
pub(crate) fn the_dataplane_is_shown(sandbox: &Sandbox) {
    let namespace = namespace(Client::Skep);
    let service = sandbox.get(&["-n", &namespace, "service", "web"]).expect("the service");
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("a node port");
    let node = sandbox.address(&sandbox.node(1));
    for node in net(sandbox, "services") {
        let rows = node["services"].as_array().expect("services").clone();
        let of_web = |scope: &str, field: &str, value: Value| {
            rows.iter().any(|row| {
                row["namespace"] == namespace.as_str()
                    && row["service"] == "web"
                    && row["scope"] == scope
                    && row[field] == value
                    && row["backends"].as_array().is_some_and(|backends| backends.len() == 3)
            })
        };
        assert!(
            of_web("cluster", "address", service["spec"]["clusterIP"].clone()),
            "{node}"
        );
        assert!(of_web("nodePort", "port", port.into()), "{node}");
    }
    let of_web = format!("{namespace}/web");
    for node in net(sandbox, "endpoints") {
        let backends = node["endpoints"]["backends"].as_array().expect("backends").clone();
        let count = backends
            .iter()
            .filter(|backend| {
                let services = backend["services"].as_array().expect("services of a backend");
                services
                    .iter()
                    .any(|name| name.as_str().is_some_and(|name| name.starts_with(&of_web)))
            })
            .count();
        assert_eq!(count, 3, "{node}");
    }
    let mut connection = TcpStream::connect(format!("{node}:{port}")).expect("connect to the node port");
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        .expect("ask");
    let mut answer = [0; 15];
    connection.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    wait_for("the connection to be shown", SOON, || {
        let shown = |node: &Value| {
            let rows = node["conntrack"].as_array().expect("conntrack");
            rows.iter().any(|row| row.to_string().contains(&port.to_string()))
        };
        net(sandbox, "conntrack").iter().any(shown).then_some(())
    });
    drop(connection);
    for (what, heading) in [
        ("services", "SERVICE"),
        ("endpoints", "ADDRESS"),
        ("conntrack", "STATE"),
    ] {
        for form in [&["net", what][..], &["net", what, "-o", "wide"]] {
            let table = printed(sandbox, Client::Skep, form, "");
            let first = table.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("NODE ") && first.contains(heading),
                "{form:?}:\n{table}"
            );
        }
    }
}

/// `image import` and `image list`, on a node's data directory.
pub(crate) fn images_are_imported_and_listed(sandbox: &Sandbox) {
    let archive = sandbox.work_dir().join("extra.tar");
    let image = xtask::image::busybox("skep.test/extra:1").expect("build the image");
    image.write(&archive).expect("write the image");
    let directory = sandbox.data_dir().join(sandbox.node(1));
    let image = |words: &[&str]| {
        let mut command = Command::new(programs::skep());
        command.arg("image").args(words).arg("--data-dir").arg(&directory);
        run_with_input(command, "").succeeded(&format!("image {words:?}"))
    };
    image(&["import", &archive.to_string_lossy()]);
    image(&["import", &archive.to_string_lossy(), "--as", "skep.test/other:2"]);
    let list: Value = serde_json::from_str(&image(&["list", "-o", "json"])).expect("JSON");
    let named = |name: &str| {
        let images = list.as_array().expect("a list");
        images
            .iter()
            .find(|image| {
                image["names"]
                    .as_array()
                    .is_some_and(|names| names.contains(&name.into()))
            })
            .cloned()
    };
    let (one, other) = (named("skep.test/extra:1"), named("skep.test/other:2"));
    assert!(one.is_some() && one == other, "one image with two names: {list}");
    let table = image(&["list"]);
    assert!(
        table.starts_with("IMAGE ") && table.contains("skep.test/other:2"),
        "{table}"
    );
}

/// `sandbox list|status|exec|stop|start`.
pub(crate) fn sandbox_commands(sandbox: &Sandbox) {
    let node = sandbox.node(2);
    let list: Value = serde_json::from_str(&run(sandbox.command(&["list", "-o", "json"]))).expect("JSON");
    let own = list
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["name"] == sandbox.name())
        .expect("it is listed");
    assert_eq!((&own["nodes"], &own["state"]), (&2.into(), &"running".into()), "{own}");
    assert_eq!(own["kubeconfig"], sandbox.kubeconfig().to_string_lossy().as_ref());

    let state = |target: &str| {
        let status = sandbox.status();
        let processes = status["processes"].as_array().expect("processes").clone();
        let is_it =
            |process: &&Value| process["node"] == target || (process["role"] == target && process["node"].is_null());
        let found = processes
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("no {target} in {status}"))
            .clone();
        (found["role"].clone(), found["state"].clone(), found["pid"].is_u64())
    };
    assert_eq!(state("server"), ("server".into(), "running".into(), true));
    assert_eq!(state(&node), ("agent".into(), "running".into(), true));
    run(sandbox.command(&["stop", &node]));
    assert_eq!(state(&node), ("agent".into(), "stopped".into(), false));
    run(sandbox.command(&["start", &node]));
    assert_eq!(state(&node), ("agent".into(), "running".into(), true));
    let addresses = sandbox.exec(&node, &["ip", "-brief", "address"]);
    assert!(addresses.contains(&sandbox.address(&node)), "{addresses}");
}

/// KUBECONFIG, its lists, `--kubeconfig`, `~/.kube/config`, `--context`; `version` and `api-resources`.
pub(crate) fn servers_are_found(sandbox: &Sandbox) {
    let kubeconfig = sandbox.kubeconfig();
    let home = sandbox.work_dir().join("home");
    fs::create_dir_all(home.join(".kube")).expect("make a directory");
    fs::copy(&kubeconfig, home.join(".kube/config")).expect("copy the kubeconfig");
    let nowhere = sandbox.work_dir().join("nowhere");
    let list = format!("{}:{}", nowhere.display(), kubeconfig.display());
    let flag = format!("--kubeconfig={}", kubeconfig.display());
    let context = printed(sandbox, Client::Kubectl, &["config", "current-context"], "");
    let context = format!("--context={}", context.trim());
    for client in BOTH {
        for (what, variable, words) in [
            ("KUBECONFIG", Some(kubeconfig.to_string_lossy().into_owned()), vec![]),
            ("a list with a file that is not there", Some(list.clone()), vec![]),
            (
                "the flag before the variable",
                Some(nowhere.to_string_lossy().into_owned()),
                vec![flag.as_str()],
            ),
            ("the home directory", None, vec![]),
            ("the context", Some(list.clone()), vec![context.as_str()]),
        ] {
            let mut command = client.command(&kubeconfig, &words);
            command
                .args(["get", "namespace", "default", "-o", "name"])
                .env("HOME", &home);
            match variable {
                Some(value) => command.env("KUBECONFIG", value),
                None => command.env_remove("KUBECONFIG"),
            };
            let out = run_with_input(command, "").succeeded(&format!("{} with {what}", client.name()));
            assert_eq!(out, "namespace/default\n", "{} with {what}", client.name());
        }
        let version = printed(sandbox, client, &["version"], "");
        let has = |start: &str| version.lines().any(|line| line.starts_with(start));
        assert!(has("Client Version: ") && has("Server Version: v1."), "{version}");
    }
    let resources = printed(sandbox, Client::Kubectl, &["api-resources", "--no-headers"], "");
    let kinds: Vec<&str> = resources
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    for kind in [
        "Pod",
        "Node",
        "Namespace",
        "Service",
        "EndpointSlice",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Deployment",
        "ReplicaSet",
        "Event",
        "Lease",
        "CronJob",
        "DaemonSet",
        "HorizontalPodAutoscaler",
        "Job",
        "LimitRange",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "PriorityClass",
        "ResourceQuota",
        "RuntimeClass",
        "StatefulSet",
    ] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
}

/// `completion bash|zsh|fish`. A shell that is installed reads its script; bash also learns the command from it.
pub(crate) fn completions() {
    let directory = tempfile::tempdir().expect("make a directory");
    for shell in ["bash", "zsh", "fish"] {
        let mut command = Command::new(programs::skep());
        command.args(["completion", shell]);
        let script = run_with_input(command, "").succeeded(shell);
        for word in ["apply", "expose", "sandbox", "conntrack", "namespace"] {
            assert!(script.contains(word), "the script for {shell} does not know {word}");
        }
        let file = directory.path().join(shell);
        fs::write(&file, script).expect("write the script");
        let mut check = Command::new(shell);
        check.arg("-n").arg(&file);
        match check.output() {
            Ok(output) => assert!(
                output.status.success() && output.stderr.is_empty(),
                "{shell} -n: {output:?}"
            ),
            Err(error) => assert!(
                shell != "bash" && error.kind() == std::io::ErrorKind::NotFound,
                "{shell}: {error}"
            ),
        }
    }
    let mut bash = Command::new("bash");
    let learns = "source \"$1\" && complete -p skep && COMP_WORDS=(skep sand) COMP_CWORD=1 && _skep skep sand skep && \
                  echo \"${COMPREPLY[@]}\"";
    bash.args(["--norc", "-c", learns, "bash"])
        .arg(directory.path().join("bash"));
    let learned = run_with_input(bash, "").succeeded("source the script for bash");
    assert!(learned.ends_with("sandbox\n"), "{learned}");
}
