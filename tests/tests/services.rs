//! Services through the real binary: spreading, turns on both paths, ports on nodes, names, and withdrawal in time.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{
    Sandbox, images,
    workloads::{Client, Counts, counted_by, load_command, load_pod, web, web_pods, web_service},
};

const REPLICAS: u32 = 3;

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {object}"))
}

fn nodes_of(pods: &[Value]) -> BTreeSet<&str> {
    pods.iter().map(|pod| text(pod, "/spec/nodeName")).collect()
}

#[test]
fn connections_take_turns_on_both_paths_and_on_every_node() {
    let Some(sandbox) = Sandbox::create(3) else { return };
    web(&sandbox, REPLICAS);
    let pods = web_pods(&sandbox);
    assert_eq!(nodes_of(&pods).len(), 3, "one replica on each node: {pods:?}");
    let (address, node_port) = web_service(&sandbox);

    for node in sandbox.nodes() {
        let pod = format!("by-name-{node}");
        load_pod(&sandbox, &pod, Some(&node), &["new", "web:80", "300"]);
        let counts = counted_by(&sandbox, &pod);
        assert_eq!(counts.requests, 300);
        counts.assert_shared_by(3);
    }
    // The same from where the hooks on sockets do not see it: each packet is translated on its way.
    for pod in &pods {
        let name = text(pod, "/metadata/name");
        let target = format!("{address}:80");
        let printed = tests::sandbox::run(load_command(sandbox.enter_pod(name), &["new", &target, "300"]));
        Counts::last_of(&printed).expect("counts").assert_shared_by(3);
    }
    // From outside, to every node, and from every node to every node.
    for node in sandbox.nodes() {
        let target = format!("{}:{node_port}", sandbox.address(&node));
        let printed = tests::sandbox::run(load_command(std::process::Command::new("env"), &["new", &target, "30"]));
        Counts::last_of(&printed).expect("counts").assert_shared_by(3);
        for from in sandbox.nodes() {
            let within = sandbox.exec_command(&from, &[]);
            let printed = tests::sandbox::run(load_command(within, &["new", &target, "30"]));
            Counts::last_of(&printed).expect("counts").assert_shared_by(3);
        }
    }
    for node in sandbox.nodes() {
        for tool in [["iptables-save"].as_slice(), &["nft", "list", "ruleset"]] {
            let printed = sandbox.exec(&node, tool);
            let rules: Vec<&str> = printed.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(rules.is_empty(), "{tool:?} on {node}: {printed}");
        }
    }
}

/// Runs the questions one after the other in a pod and returns what busybox' nslookup says to each.
fn ask(sandbox: &Sandbox, questions: &[&str]) -> Vec<String> {
    const MARK: &str = "== next";
    let script: Vec<String> = questions
        .iter()
        .map(|question| format!("nslookup {question} 2>&1; echo '{MARK}'"))
        .collect();
    sandbox.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asking"},
        "spec": {"restartPolicy": "Never", "containers": [{
            "name": "shell", "image": images::BUSYBOX, "command": ["/bin/sh", "-c", script.join("; ")],
        }]},
    }));
    sandbox.wait_phase("asking", "Succeeded");
    let printed = sandbox.kubectl(&["logs", "asking"]);
    let answers: Vec<String> = printed.split(MARK).map(str::to_owned).collect();
    assert_eq!(answers.len(), questions.len() + 1, "{printed}");
    answers
}

#[test]
fn names_lead_to_services_pods_and_back() {
    let Some(sandbox) = Sandbox::create(2) else { return };
    web(&sandbox, 2);
    let (address, _) = web_service(&sandbox);
    sandbox.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "direct"}, "spec": {
            "clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}],
        }},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "elsewhere"}, "spec": {
            "type": "ExternalName", "externalName": "web.default.svc.cluster.local",
        }},
    ]}));
    let pods = web_pods(&sandbox);
    let ips: Vec<&str> = pods.iter().map(|pod| text(pod, "/status/podIP")).collect();
    let dashed = ips[0].replace('.', "-");
    let reversed = |ip: &str| ip.split('.').rev().collect::<Vec<_>>().join(".") + ".in-addr.arpa";
    let (service_back, pod_back) = (reversed(&address), reversed(ips[0]));
    // For each question, what its answer has to hold.
    let full = "web.default.svc.cluster.local";
    let by_dashes = format!("{dashed}.default.pod.cluster.local");
    let rows: Vec<(String, Vec<String>)> = vec![
        ("-type=a web.default.svc.cluster.local".into(), vec![address.clone()]),
        ("web".into(), vec![full.into(), address.clone()]),
        (
            "-type=a direct.default.svc.cluster.local".into(),
            ips.iter().map(|ip| (*ip).to_owned()).collect(),
        ),
        (format!("-type=a {by_dashes}"), vec![ips[0].to_owned()]),
        (
            "-type=srv _http._tcp.web.default.svc.cluster.local".into(),
            vec![format!(" 80 {full}")],
        ),
        (
            "-type=srv _http._tcp.direct.default.svc.cluster.local".into(),
            ips.iter()
                .map(|ip| format!(" 8080 {}.direct.default.svc.cluster.local", ip.replace('.', "-")))
                .collect(),
        ),
        (format!("-type=ptr {service_back}"), vec![format!("name = {full}")]),
        (
            format!("-type=ptr {pod_back}"),
            vec![format!("name = {dashed}.direct.default.svc.cluster.local")],
        ),
        (
            "-type=cname elsewhere.default.svc.cluster.local".into(),
            vec![format!("canonical name = {full}")],
        ),
        (
            "-type=a nothing.default.svc.cluster.local".into(),
            vec!["NXDOMAIN".into()],
        ),
    ];
    let questions: Vec<&str> = rows.iter().map(|(question, _)| question.as_str()).collect();
    // Names with dots are looked for below the cluster's domains too, by the C library's resolver.
    load_pod(&sandbox, "searching", None, &["new", "web.default.svc:80", "2"]);
    let answers = ask(&sandbox, &questions);
    for ((question, expected), answer) in rows.iter().zip(answers) {
        for part in expected {
            assert!(
                answer.contains(part.as_str()),
                "nslookup {question}: no {part:?} in {answer}"
            );
        }
    }
    counted_by(&sandbox, "searching").assert_shared_by(2);
}

#[test]
fn a_pod_is_out_of_its_services_before_it_stops() {
    let Some(sandbox) = Sandbox::create(3) else { return };
    web(&sandbox, REPLICAS);
    let (address, node_port) = web_service(&sandbox);
    // Something to enter that stays.
    load_pod(
        &sandbox,
        "stays",
        Some(&sandbox.node(1)),
        &["renew", "web:80", "8", "200"],
    );
    sandbox.wait_phase("stays", "Running");
    let service = format!("{address}:80");
    let port = format!("{}:{node_port}", sandbox.address(&sandbox.node(2)));
    let clients = [
        Client::start(
            &sandbox,
            "by-packet",
            load_command(sandbox.enter_pod("stays"), &["renew", &service, "8", "200"]),
        ),
        Client::start(
            &sandbox,
            "from-outside",
            load_command(std::process::Command::new("env"), &["renew", &port, "8", "200"]),
        ),
    ];
    for pod in web_pods(&sandbox) {
        // The web server ends at once when it is told to stop: a connection that still came to it would fail.
        sandbox.kubectl(&["delete", "pod", text(&pod, "/metadata/name")]);
        sandbox.wait_available("web");
    }
    for client in clients {
        let counts = client.finish();
        assert!(counts.requests > 0 && counts.failed == 0, "{counts:?}");
    }
    let counts = tests::workloads::counted_so_far(&sandbox, "stays", 0);
    assert!(counts.failed == 0, "{counts:?}");
}
