//! What a cluster survives, under load: killed agents and servers, a server that is away, a node that stays dead.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tests::{
    Sandbox, images,
    sandbox::SOON,
    wait_for,
    workloads::{Client, Counts, counted_by, counted_so_far, load_command, load_pod, web, web_pods, web_service},
};

/// Requests that the load has to send between one blow and the next: a second and a half of it.
const BETWEEN_BLOWS: u64 = 1500;

fn config_map(sandbox: &Sandbox, name: &str) {
    sandbox.kubectl(&["create", "configmap", name, &format!("--from-literal=name={name}")]);
}

fn config_maps(sandbox: &Sandbox) -> BTreeSet<String> {
    let list = sandbox.get(&["configmaps"]).expect("a list");
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| {
            format!(
                "{} of {} at {}: {}",
                item["metadata"]["name"], item["metadata"]["uid"], item["metadata"]["resourceVersion"], item["data"]
            )
        })
        .collect()
}

fn wait_ready(sandbox: &Sandbox, node: &str, wanted: &str) {
    wait_for(&format!("the Ready condition of {node} to be {wanted}"), SOON, || {
        let object = sandbox.get(&["node", node])?;
        let conditions = object["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        (ready["status"] == wanted).then_some(())
    });
}

/// Restarts and start times of all containers, by pod: what a restart of the cluster's own processes must not change.
fn incarnations(sandbox: &Sandbox) -> BTreeSet<String> {
    let list = sandbox.get(&["pods"]).expect("a list");
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|pod| {
            format!(
                "{} {} {}",
                pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["containerID"]
            )
        })
        .collect()
}

#[test]
fn no_request_fails_and_no_object_is_lost_when_agents_and_the_server_are_killed() {
    let Some(sandbox) = Sandbox::create(3) else { return };
    web(&sandbox, 3);
    let (_, node_port) = web_service(&sandbox);
    load_pod(
        &sandbox,
        "kept",
        Some(&sandbox.node(1)),
        &["keep", "web:80", "50", "1000"],
    );
    load_pod(
        &sandbox,
        "fresh",
        Some(&sandbox.node(2)),
        &["renew", "web:80", "10", "100"],
    );
    let port = format!("{}:{node_port}", sandbox.address(&sandbox.node(3)));
    let outside = load_command(std::process::Command::new("env"), &["keep", &port, "10", "100"]);
    let outside = Client::start(&sandbox, "outside", outside);

    let mut requests = counted_so_far(&sandbox, "kept", 0).requests;
    let before = incarnations(&sandbox);
    let mut targets = sandbox.nodes();
    targets.push("server".to_owned());
    for target in &targets {
        // Acknowledged right before the blow, for every one of them.
        config_map(&sandbox, &format!("before-{target}"));
        let objects = config_maps(&sandbox);
        sandbox.kill_and_wait(target);
        requests = counted_so_far(&sandbox, "kept", requests + BETWEEN_BLOWS).requests;
        assert!(config_maps(&sandbox).is_superset(&objects), "after the end of {target}");
        config_map(&sandbox, &format!("after-{target}"));
    }
    for node in sandbox.nodes() {
        wait_ready(&sandbox, &node, "True");
    }
    assert_eq!(incarnations(&sandbox), before, "pods are what they were");

    for (pod, at_least) in [("kept", requests), ("fresh", 1)] {
        let counts = counted_so_far(&sandbox, pod, at_least);
        assert_eq!((counts.failed, counts.reconnects), (0, 0), "{pod}: {counts:?}");
    }
    let counts = outside.finish();
    assert!(counts.requests > 0, "{counts:?}");
    assert_eq!((counts.failed, counts.reconnects), (0, 0), "from outside: {counts:?}");
}

#[test]
fn without_the_server_pods_restart_and_names_and_services_answer() {
    let Some(sandbox) = Sandbox::create(2) else { return };
    web(&sandbox, 2);
    let (address, _) = web_service(&sandbox);
    let starts = sandbox.work_dir().join("starts");
    std::fs::create_dir(&starts).expect("make a directory");
    sandbox.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "restarting"},
        "spec": {
            "nodeName": sandbox.node(1),
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "starts", "hostPath": {"path": starts}}],
            "containers": [{
                "name": "shell", "image": images::BUSYBOX,
                "command": ["/bin/sh", "-c", "echo started >> /starts/log; sleep 1"],
                "volumeMounts": [{"name": "starts", "mountPath": "/starts"}],
            }],
        },
    }));
    let started = || {
        std::fs::read_to_string(starts.join("log"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_for("a restart", SOON, || (started() >= 2).then_some(()));
    let pod = web_pods(&sandbox)[0]["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    // Prepared while the server can still say where the pod is.
    let target = format!("{address}:80");
    let by_packet = || load_command(sandbox.enter_pod(&pod), &["new", &target, "20"]);
    let mut by_packet = [by_packet(), by_packet()].into_iter();
    let ask = |name: &str| {
        let mut command = sandbox.enter_pod(&pod);
        command.args(["/bin/busybox", "nslookup", "-type=a", name, "10.43.0.10"]);
        command
    };
    let mut asked = [
        ask("web.default.svc.cluster.local"),
        ask("web.default.svc.cluster.local"),
    ]
    .into_iter();

    tests::sandbox::run(sandbox.command(&["stop", "server"]));
    let known = started();
    wait_for("a restart without the server", SOON, || {
        (started() > known).then_some(())
    });
    for agent in ["as it was", "killed and restarted"] {
        if agent == "killed and restarted" {
            for node in sandbox.nodes() {
                sandbox.kill_and_wait(&node);
            }
        }
        let printed = tests::sandbox::run(by_packet.next().expect("two were prepared"));
        Counts::last_of(&printed).expect("counts").assert_shared_by(2);
        let answer = tests::sandbox::run(asked.next().expect("two were prepared"));
        assert!(answer.contains(&address), "agent {agent}: {answer}");
    }
    let known = started();
    wait_for("a restart by an agent that has never met the server", SOON, || {
        (started() > known).then_some(())
    });
    tests::sandbox::run(sandbox.command(&["start", "server"]));
    wait_for("the restarts to be known to the server", SOON, || {
        let pod = sandbox.get(&["pod", "restarting"])?;
        let count = pod["status"]["containerStatuses"][0]["restartCount"].as_u64()?;
        (count + 1 >= known as u64).then_some(())
    });
    assert_eq!(web_pods(&sandbox).len(), 2);
}

fn endpoint_addresses(sandbox: &Sandbox, service: &str) -> BTreeSet<String> {
    let list = sandbox
        .get(&["endpointslices", "-l", &format!("kubernetes.io/service-name={service}")])
        .expect("a list");
    let slices = list["items"].as_array().expect("items").iter();
    slices
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten())
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_node_that_stays_dead_is_marked_and_its_pods_are_replaced() {
    let flags = ["--node-grace-period", "4s", "--not-ready-toleration", "4s"];
    let Some(sandbox) = Sandbox::create_with(3, &flags) else {
        return;
    };
    web(&sandbox, 3);
    web_service(&sandbox);
    let dead = sandbox.node(3);
    let is_on_dead = |pod: &Value| pod["spec"]["nodeName"] == dead.as_str();
    let pods = web_pods(&sandbox);
    let lost = pods.iter().find(|pod| is_on_dead(pod)).expect("a pod on each node");
    let lost_ip = lost["status"]["podIP"].as_str().expect("an address").to_owned();
    assert!(endpoint_addresses(&sandbox, "web").contains(&lost_ip));

    tests::sandbox::run(sandbox.command(&["stop", &dead]));
    wait_ready(&sandbox, &dead, "Unknown");
    wait_for("the dead node's endpoint to be withdrawn", SOON, || {
        (!endpoint_addresses(&sandbox, "web").contains(&lost_ip)).then_some(())
    });
    let taints = sandbox.get(&["node", &dead]).expect("the node")["spec"]["taints"].clone();
    assert!(
        taints.to_string().contains("node.kubernetes.io/unreachable"),
        "{taints}"
    );
    // The dataplane of the others knows: nobody is sent to where nobody answers.
    wait_for("three replicas on the nodes that live", SOON, || {
        let alive: Vec<Value> = web_pods(&sandbox).into_iter().filter(|pod| !is_on_dead(pod)).collect();
        (alive.len() == 3 && endpoint_addresses(&sandbox, "web").len() == 3).then_some(())
    });
    load_pod(&sandbox, "client", Some(&sandbox.node(1)), &["new", "web:80", "60"]);
    counted_by(&sandbox, "client").assert_shared_by(3);

    // Back from the dead: it is told what became of its pods, and does it.
    tests::sandbox::run(sandbox.command(&["start", &dead]));
    wait_ready(&sandbox, &dead, "True");
    let name = lost["metadata"]["name"].as_str().expect("a name");
    wait_for("the lost pod to be gone", SOON, || {
        sandbox.get(&["pod", name]).is_none().then_some(())
    });
    wait_for("its containers to be gone", Duration::from_secs(30), || {
        let uid = lost["metadata"]["uid"].as_str()?;
        let directory = sandbox.data_dir().join(&dead).join("pods").join(uid);
        (!directory.exists()).then_some(())
    });
    wait_for("the taint to be gone", SOON, || {
        sandbox.get(&["node", &dead])?["spec"]["taints"].is_null().then_some(())
    });
}
