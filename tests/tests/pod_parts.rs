//! Parts of a running pod that change: ephemeral containers are added, containers get more or less CPU and memory.
//! With the real kubectl.

#![allow(missing_docs, reason = "a test program")]

use serde_json::{Value, json};
use tests::{Sandbox, clients::Client, images::BUSYBOX, sandbox::SOON, wait_for};

/// One cluster; each part has pods of its own.
#[test]
fn parts_of_running_pods_change() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    ephemeral_containers_look_into_pods(&sandbox);
    ephemeral_containers_are_only_added(&sandbox);
    containers_are_resized(&sandbox);
    what_does_not_fit_waits(&sandbox);
    resizes_are_refused(&sandbox);
}

fn pod(name: &str, containers: &[Value]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
    })
}

fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": BUSYBOX, "command": ["/bin/sh", "-c", script]})
}

fn refused(sandbox: &Sandbox, words: &[&str]) -> String {
    let output = sandbox.kubectl_command(words).output().expect("start kubectl");
    assert!(!output.status.success(), "{words:?} is not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ephemeral_containers_look_into_pods(sandbox: &Sandbox) {
    sandbox.apply(&pod("box", &[shell("c", "echo marked > /tmp/marked; sleep 1000000")]));
    sandbox.wait_phase("box", "Running");
    // With the target's processes.
    let image = format!("--image={BUSYBOX}");
    let look = [
        "debug",
        "box",
        "-i",
        "--quiet",
        "--container=look",
        "--target=c",
        &image,
        "--",
        "sh",
        "-c",
        "read line; ps; cat /proc/1/root/tmp/marked; hostname",
    ];
    // It waits for its client: what is said before that one is there is in the log only.
    let looked = Client::Kubectl
        .run(&sandbox.kubeconfig(), &look, "look\n")
        .succeeded("look");
    for part in ["sleep 1000000", "marked", "box"] {
        assert!(looked.contains(part), "no {part:?} in {looked:?}");
    }
    let ended = wait_for("the ephemeral container to have ended", SOON, || {
        let pod = sandbox.get(&["pod", "box"])?;
        let status = pod["status"]["ephemeralContainerStatuses"][0].clone();
        (status["state"]["terminated"]["exitCode"] == 0).then_some(status)
    });
    assert_eq!((&ended["name"], &ended["restartCount"]), (&json!("look"), &json!(0)));
    assert!(
        sandbox
            .kubectl(&["logs", "box", "-c", "look"])
            .contains("sleep 1000000")
    );
    // One that stays, with processes of its own.
    sandbox.kubectl(&[
        "debug",
        "box",
        "--container=stay",
        &format!("--image={BUSYBOX}"),
        "--",
        "sleep",
        "2000000",
    ]);
    wait_for("the second one to run", SOON, || {
        let pod = sandbox.get(&["pod", "box"])?;
        let status = &pod["status"]["ephemeralContainerStatuses"][1];
        status["state"]["running"].is_object().then_some(())
    });
    let processes = sandbox.kubectl(&["exec", "box", "-c", "stay", "--", "ps"]);
    assert!(
        processes.contains("sleep 2000000") && !processes.contains("sleep 1000000"),
        "{processes}"
    );
    let pod = sandbox.get(&["pod", "box"]).expect("the pod");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(pod["metadata"]["generation"], 3);
    // An agent that comes later finds it as it is.
    sandbox.kill_and_wait(&sandbox.node(1));
    let again = wait_for("the node to be back", SOON, || {
        let output = sandbox
            .kubectl_command(&["exec", "box", "-c", "stay", "--", "ps"])
            .output();
        output.ok().filter(|output| output.status.success())
    });
    assert!(String::from_utf8_lossy(&again.stdout).contains("sleep 2000000"));
}

fn ephemeral_containers_are_only_added(sandbox: &Sandbox) {
    let patch = |list: Value, kind: &str| {
        let patch = json!({"spec": {"ephemeralContainers": list}}).to_string();
        refused(
            sandbox,
            &[
                "patch",
                "pod",
                "box",
                "--subresource=ephemeralcontainers",
                kind,
                "-p",
                &patch,
            ],
        )
    };
    let one = |fields: Value| {
        let mut container = json!({"name": "new", "image": BUSYBOX});
        for (field, value) in fields.as_object().expect("fields") {
            container[field] = value.clone();
        }
        json!([container])
    };
    // how, list, part of the refusal
    for (kind, list, said) in [
        (
            "--type=merge",
            json!([]),
            "existing ephemeral containers \"look\" may not be removed",
        ),
        ("--type=strategic", one(json!({"name": "c"})), "Duplicate value: \"c\""),
        (
            "--type=strategic",
            one(json!({"name": "stay", "image": "other"})),
            "existing ephemeral containers \"stay\" may not be changed",
        ),
        (
            "--type=strategic",
            one(json!({"targetContainerName": "nobody"})),
            "targetContainerName: Not found: \"nobody\"",
        ),
        (
            "--type=strategic",
            one(json!({"ports": [{"containerPort": 80}]})),
            "cannot be set for an Ephemeral Container",
        ),
        (
            "--type=strategic",
            one(json!({"resources": {"limits": {"cpu": "1"}}})),
            "cannot be set for an Ephemeral Container",
        ),
    ] {
        let words = patch(list, kind);
        assert!(words.contains(said), "no {said:?} in {words:?}");
    }
    let main = json!({"spec": {"ephemeralContainers": [{"name": "x", "image": BUSYBOX}]}}).to_string();
    let words = refused(sandbox, &["patch", "pod", "box", "-p", &main]);
    assert!(
        words.contains("pod updates may not change fields other than"),
        "{words}"
    );
    sandbox.kubectl(&["delete", "pod", "box"]);
}

fn amounts(cpu: &str, memory: &str) -> Value {
    json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}})
}

fn resize(sandbox: &Sandbox, pod: &str, container: &str, resources: &Value) {
    let patch = json!({"spec": {"containers": [{"name": container, "resources": resources}]}}).to_string();
    sandbox.kubectl(&["patch", "pod", pod, "--subresource=resize", "-p", &patch]);
}

/// What the kernel lets a container have: thousandths of a CPU, bytes.
fn allowed(sandbox: &Sandbox, pod: &str, container: &str) -> (i64, i64) {
    let script = "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us; \
        cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    let said = sandbox.kubectl(&["exec", pod, "-c", container, "--", "sh", "-c", script]);
    let numbers: Vec<i64> = said
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default().parse().unwrap_or(-1))
        .collect();
    let [quota, memory] = numbers[..] else {
        panic!("{said:?}")
    };
    (quota / 100, memory)
}

fn containers_are_resized(sandbox: &Sandbox) {
    let mut first = shell("a", "sleep 1000000");
    first["resources"] = amounts("200m", "64Mi");
    let mut second = shell("b", "sleep 1000000");
    second["resources"] = amounts("200m", "64Mi");
    second["resizePolicy"] = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    sandbox.apply(&pod("sized", &[first, second]));
    sandbox.wait_phase("sized", "Running");
    assert_eq!(allowed(sandbox, "sized", "a"), (200, 64 << 20));
    // container, what it gets, restarts of it
    for (container, cpu, memory, allows, restarts) in [
        ("a", "400m", "128Mi", (400, 128 << 20), 0),
        ("a", "100m", "96Mi", (100, 96 << 20), 0),
        ("b", "300m", "64Mi", (300, 64 << 20), 0),
        ("b", "300m", "80Mi", (300, 80 << 20), 1),
    ] {
        let wanted = amounts(cpu, memory);
        resize(sandbox, "sized", container, &wanted);
        let status = wait_for("the container to be resized", SOON, || {
            let pod = sandbox.get(&["pod", "sized"])?;
            let statuses = pod["status"]["containerStatuses"].as_array()?.clone();
            let status = statuses.into_iter().find(|status| status["name"] == container)?;
            let conditions = pod["status"]["conditions"].as_array()?;
            let is_over = !conditions.iter().any(|condition| {
                condition["type"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("PodResize"))
            });
            let runs = status["state"]["running"].is_object();
            (status["resources"] == wanted && is_over && runs).then_some(status)
        });
        assert_eq!(status["restartCount"], restarts, "{container} {cpu} {memory}");
        assert_eq!(status["allocatedResources"], wanted["requests"]);
        assert_eq!(allowed(sandbox, "sized", container), allows);
    }
    // What is in use cannot be taken away.
    let fill = "head -c 40000000 /dev/zero > /dev/shm/filled";
    sandbox.kubectl(&["exec", "sized", "-c", "a", "--", "sh", "-c", fill]);
    resize(sandbox, "sized", "a", &amounts("100m", "8Mi"));
    wait_for("the resize to fail", SOON, || {
        let pod = sandbox.get(&["pod", "sized"])?;
        let conditions = pod["status"]["conditions"].as_array()?;
        let condition = conditions
            .iter()
            .find(|condition| condition["type"] == "PodResizeInProgress")?;
        (condition["reason"] == "Error").then_some(())
    });
    assert_eq!(allowed(sandbox, "sized", "a"), (100, 96 << 20));
}

fn what_does_not_fit_waits(sandbox: &Sandbox) {
    let mut container = shell("c", "sleep 1000000");
    container["resources"] = json!({"requests": {"cpu": "100m"}});
    sandbox.apply(&pod("large", &[container]));
    sandbox.wait_phase("large", "Running");
    resize(sandbox, "large", "c", &json!({"requests": {"cpu": "1000"}}));
    let status = wait_for("the resize to be pending", SOON, || {
        let pod = sandbox.get(&["pod", "large"])?;
        let conditions = pod["status"]["conditions"].as_array()?.clone();
        let pending =
            |condition: &Value| condition["type"] == "PodResizePending" && condition["reason"] == "Infeasible";
        conditions.iter().any(pending).then(|| pod["status"].clone())
    });
    assert_eq!(
        status["containerStatuses"][0]["allocatedResources"],
        json!({"cpu": "100m"})
    );
    resize(sandbox, "large", "c", &json!({"requests": {"cpu": "150m"}}));
    wait_for("the smaller one to be done", SOON, || {
        let pod = sandbox.get(&["pod", "large"])?;
        let resources = &pod["status"]["containerStatuses"][0]["resources"];
        (resources == &json!({"requests": {"cpu": "150m"}})).then_some(())
    });
}

fn resizes_are_refused(sandbox: &Sandbox) {
    let patch = |spec: Value| {
        let patch = json!({"spec": spec}).to_string();
        refused(
            sandbox,
            &["patch", "pod", "sized", "--subresource=resize", "-p", &patch],
        )
    };
    let one = |fields: Value| {
        let mut container = json!({"name": "a"});
        for (field, value) in fields.as_object().expect("fields") {
            container[field] = value.clone();
        }
        json!({"containers": [container]})
    };
    for (spec, said) in [
        (
            one(json!({"resources": {"requests": {"cpu": "50m"}}})),
            "Pod QOS Class may not change as a result of resizing",
        ),
        (
            one(json!({"resources": {"limits": {"ephemeral-storage": "1Gi"}}})),
            "only cpu and memory resources are mutable",
        ),
        (
            one(json!({"resources": {"limits": {"cpu": null}, "requests": {"cpu": null}}})),
            "resource limits cannot be removed",
        ),
        (
            one(json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]})),
            "only cpu and memory resources are mutable",
        ),
    ] {
        let words = patch(spec);
        assert!(words.contains(said), "no {said:?} in {words:?}");
    }
    let main = json!({"spec": one(json!({"resources": amounts("1", "1Gi")}))}).to_string();
    let words = refused(sandbox, &["patch", "pod", "sized", "-p", &main]);
    assert!(
        words.contains("pod updates may not change fields other than"),
        "{words}"
    );
}
