//! Real containers of the pod workers and their shims, without control plane and eBPF. Needs root.
//!
//! The workers run in a process of their own with several threads, so that it can be killed.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]
#![allow(missing_docs, reason = "a test program")]

#[path = "pods_containers/node.rs"]
mod node;

use std::{fs, time::Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use node::{IMAGE, Node, is_alive};

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        tests::not_run("it makes containers, which only root may");
    }
    root
}

fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "command": ["/bin/sh", "-c", script]})
}

const SLEEP: &str = "trap 'exit 0' TERM; sleep 3600 & wait";

#[test]
fn fifty_pods_start_and_stop_at_once_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("fifty");
    let begun = Instant::now();
    let pods: Vec<Value> = (0..50)
        .map(|number| node.pod(&format!("p{number}"), json!({"containers": [shell("c", SLEEP)]})))
        .collect();
    node.wait("50 running pods", |said| {
        let running = said
            .statuses
            .keys()
            .filter(|uid| said.state(uid, "c") == "running")
            .count();
        (running == 50).then_some(())
    });
    println!("50 pods running after {:?}", begun.elapsed());
    let shims = node.shims();
    assert_eq!(shims.len(), 50);
    let private_kib: Vec<u64> = shims.iter().map(|pid| private_kib(*pid)).collect();
    println!(
        "shims: private memory {} KiB on average, {} KiB at most",
        private_kib.iter().sum::<u64>() / 50,
        private_kib.iter().max().unwrap()
    );
    assert!(node.look(|said| said.condition("p7", "Ready") == "True"));
    let begun = Instant::now();
    for pod in &pods {
        node.delete(pod, 30);
    }
    node.wait("50 pods gone", |said| (said.gone.len() == 50).then_some(()));
    println!("50 pods gone after {:?}", begun.elapsed());
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// Memory that only this process has.
fn private_kib(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[test]
fn pods_outlive_their_agent_and_are_adopted_untouched() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("adopt");
    let count = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.1; done";
    let stays = node.pod("stays", json!({"containers": [shell("c", count)]}));
    let ends = node.pod(
        "ends",
        json!({"restartPolicy": "Never", "containers": [shell("c", "while [ ! -e /go/now ]; do sleep 0.05; done; exit 3")
            .as_object().map(|c| { let mut c = c.clone(); c.insert("volumeMounts".into(), json!([{"name": "go", "mountPath": "/go"}])); c }).unwrap()],
            "volumes": [{"name": "go", "emptyDir": {}}]}),
    );
    let _unwanted = node.pod("unwanted", json!({"containers": [shell("c", SLEEP)]}));
    let dying = node.pod("dying", json!({"containers": [shell("c", SLEEP)]}));
    for uid in ["stays", "ends", "unwanted", "dying"] {
        node.wait_state(uid, "c", "running");
    }
    let before = node.look(|said| said.container("stays", "c"));
    let processes = node.processes("stays", "c");
    assert!(!processes.is_empty());

    node.kill();
    for pid in &processes {
        assert!(is_alive(*pid), "the container goes on without its agent");
    }
    // One ends and one is killed while nobody looks.
    fs::write(node.data_dir().join("pods/ends/volumes/go/now"), "").unwrap();
    let state = node.data_dir().join("pods/ends/containers/c/0/state.json");
    tests::wait_for(
        "the shim to write down the end",
        std::time::Duration::from_secs(20),
        || fs::read_to_string(&state).ok()?.contains("exited").then_some(()),
    );
    let shim = node.shim_of("dying", "c").unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();

    let log_before = node.data_dir().join("pods/stays/logs/c/0.log");
    let lines_before = fs::read_to_string(&log_before).unwrap().lines().count();
    node.start();
    node.send(json!({"begin": true}));
    for pod in [&stays, &ends, &dying] {
        node.send(json!({"pod": pod}));
    }
    node.send(json!({"end": true}));
    node.wait_state("ends", "c", "Error 3");
    node.wait_state("stays", "c", "running");
    let after = node.look(|said| said.container("stays", "c"));
    for key in ["containerID", "restartCount", "state", "ready"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert!(processes.iter().any(|pid| is_alive(*pid)));
    // The one whose shim died is cleared and runs anew.
    node.wait("the orphan's restart", |said| {
        (said.state("dying", "c") == "running" && said.last_state("dying", "c") == "ContainerStatusUnknown 137")
            .then_some(())
    });
    tests::wait_for("the unwanted pod to go", std::time::Duration::from_secs(20), || {
        (!node.data_dir().join("pods/unwanted").exists()).then_some(())
    });
    assert!(node.processes("unwanted", "c").is_empty());
    tests::wait_for("the log to go on", std::time::Duration::from_secs(20), || {
        (fs::read_to_string(&log_before).unwrap().lines().count() > lines_before).then_some(())
    });
    for pod in [&stays, &ends, &dying] {
        node.delete_now(pod);
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_container_whose_shim_is_killed_is_cleared_and_restarted() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("orphan");
    let pod = node.pod("p", json!({"containers": [shell("c", SLEEP)]}));
    node.wait_state("p", "c", "running");
    let processes = node.processes("p", "c");
    kill(Pid::from_raw(node.shim_of("p", "c").unwrap()), Signal::SIGKILL).unwrap();
    node.wait("the restart", |said| {
        (said.state("p", "c") == "running" && said.container("p", "c")["restartCount"] == 1).then_some(())
    });
    assert_eq!(
        node.look(|said| said.last_state("p", "c")),
        "ContainerStatusUnknown 137"
    );
    for pid in processes {
        assert!(!is_alive(pid), "nothing of the first attempt is left");
    }
    node.delete_now(&pod);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_container_sees_what_its_pod_says() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("sees");
    node.send(json!({"config_map": {"metadata": {"namespace": "ns", "name": "cm"}, "data": {"color": "blue"}}}));
    node.send(json!({"secret": {"metadata": {"namespace": "ns", "name": "se"}, "data": {"key": "c2VjcmV0"}}}));
    let script = r#"
        echo "name $(hostname) $(cat /etc/hostname)"
        echo "env $COLOR $KEY $POD_IP $KUBERNETES_SERVICE_HOST $JOINED"
        echo "id $(id -u):$(id -g) $(id -G)"
        echo "pwd $(pwd)"
        grep 10.42.0.9 /etc/hosts
        cat /etc/resolv.conf
        echo "files $(cat /config/color) $(cat /secret/key)"
        echo "nnp $(grep NoNewPrivs /proc/self/status | tr -d '\t')"
        echo "caps $(grep CapEff /proc/self/status | tr -d '\t')"
        echo "pids $(ls /proc | grep -c '^[0-9]')"
        echo shared > /scratch/file
        touch /root/x 2>&1; touch /config/x 2>&1
        echo "devices $(ls /dev | tr '\n' ' ')"
        echo "args $0 $@"
        sigpipe() { yes | head -1; }; sigpipe
    "#;
    let mut first = shell("first", script);
    let update = json!({
        "args": ["one", "$(COLOR)"],
        "workingDir": "/made/for/me",
        "env": [
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "color"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "se", "key": "key"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "JOINED", "value": "$(COLOR)-$(KEY)"},
        ],
        "securityContext": {
            "runAsUser": 65534, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/config"}, {"name": "secret", "mountPath": "/secret"},
            {"name": "scratch", "mountPath": "/scratch"},
        ],
    });
    merge(&mut first, &update);
    let mut second = shell(
        "second",
        "while [ ! -s /scratch/file ]; do sleep 0.05; done; cat /scratch/file; hostname",
    );
    merge(
        &mut second,
        &json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}),
    );
    let pod = node.pod(
        "p",
        json!({
            "restartPolicy": "Never", "hostname": "called-so", "subdomain": "sub",
            "securityContext": {"supplementalGroups": [7]},
            "containers": [first, second],
            "volumes": [
                {"name": "config", "configMap": {"name": "cm"}}, {"name": "secret", "secret": {"secretName": "se"}},
                {"name": "scratch", "emptyDir": {"medium": "Memory"}},
            ],
        }),
    );
    node.wait("the pod to succeed", |said| {
        (said.phase("p") == "Succeeded").then_some(())
    });
    let log = node.log("p", json!({"container": "first"})).text;
    for line in [
        "name called-so called-so",
        "env blue secret 10.42.0.9 10.43.0.1 blue-secret",
        "id 65534:65534 65534 7",
        "pwd /made/for/me",
        "10.42.0.9\tcalled-so.sub.ns.svc.cluster.local\tcalled-so",
        "search ns.svc.cluster.local",
        "nameserver 10.43.0.10",
        "files blue secret",
        "nnp NoNewPrivs:1",
        "args one blue",
        "y",
    ] {
        assert!(log.lines().any(|seen| seen == line), "{line:?} in\n{log}");
    }
    // A process that is not root has no capability without a file that gives it.
    assert!(log.contains("caps CapEff:0000000000000000"), "{log}");
    assert!(
        log.contains("touch: /root/x: Read-only file system") || log.contains("touch: /root/x: Permission denied"),
        "{log}"
    );
    assert!(log.contains("touch: /config/x: Read-only file system"), "{log}");
    assert_eq!(
        node.log("p", json!({"container": "second"})).text,
        "shared\ncalled-so\n"
    );
    node.delete_now(&pod);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

#[test]
fn limits_hold_and_show_in_every_hierarchy() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("limits");
    let mut limited = shell("c", SLEEP);
    limited["resources"] = json!({"limits": {"cpu": "500m", "memory": "32Mi"}, "requests": {"cpu": "250m"}});
    let steady = node.pod("steady", json!({"containers": [limited]}));
    let mut greedy = shell("c", "head -c 200m /dev/zero | tail");
    greedy["resources"] = json!({"limits": {"memory": "24Mi"}});
    let greedy = node.pod("greedy", json!({"restartPolicy": "Never", "containers": [greedy]}));
    node.wait_state("steady", "c", "running");
    let one_of = |cgroup: &str, files: &[(&str, &str)]| {
        let seen: Vec<_> = files
            .iter()
            .filter_map(|(file, _)| node.cgroup_file(cgroup, file))
            .collect();
        assert!(
            files
                .iter()
                .any(|(file, value)| node.cgroup_file(cgroup, file).as_deref() == Some(*value)),
            "{cgroup} {files:?}: {seen:?}"
        );
    };
    one_of("steady/c", &[("cpu.shares", "256"), ("cpu.weight", "10")]);
    one_of(
        "steady/c",
        &[("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000")],
    );
    one_of(
        "steady/c",
        &[("memory.limit_in_bytes", "33554432"), ("memory.max", "33554432")],
    );
    one_of(
        "steady",
        &[("memory.limit_in_bytes", "33554432"), ("memory.max", "33554432")],
    );
    one_of("steady", &[("pids.max", "16384")]);
    for pid in node.processes("steady", "c") {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let v2 = cgroups.lines().find(|line| line.starts_with("0::")).unwrap();
        assert!(v2.ends_with("/pods/steady/c"), "programs for sockets find it: {v2}");
    }
    let shim = node.shim_of("steady", "c").unwrap();
    let own = fs::read_to_string(format!("/proc/{shim}/cgroup")).unwrap();
    assert!(!own.contains("/pods/"), "the shim is not the container's: {own}");
    node.wait("the greedy container's end", |said| {
        said.state("greedy", "c").starts_with("OOMKilled").then_some(())
    });
    node.delete_now(&steady);
    node.delete_now(&greedy);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn what_cannot_run_says_why_and_runs_when_it_can() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("errors");
    let with = |extra: Value| {
        let mut container = shell("c", SLEEP);
        merge(&mut container, &extra);
        json!({"containers": [container]})
    };
    let mut pods = Vec::new();
    pods.push(node.pod("image", with(json!({"image": "pods.test/late:1"}))));
    pods.push(node.pod(
        "never",
        with(json!({"image": "pods.test/none:1", "imagePullPolicy": "Never"})),
    ));
    pods.push(node.pod("name", with(json!({"image": "UPPER"}))));
    pods.push(node.pod("command", with(json!({"command": ["/no/such/program"]}))));
    pods.push(node.pod("config", with(json!({"envFrom": [{"configMapRef": {"name": "late"}}]}))));
    pods.push(node.pod(
        "volume",
        json!({"containers": [shell("c", SLEEP)], "volumes": [{"name": "v", "configMap": {"name": "late"}}]}),
    ));
    pods.push(node.pod("root", with(json!({"securityContext": {"runAsNonRoot": true}}))));
    node.wait_state("image", "c", "ErrImagePull");
    node.wait_state("never", "c", "ErrImageNeverPull");
    node.wait_state("name", "c", "InvalidImageName");
    node.wait_state("config", "c", "CreateContainerConfigError");
    node.wait_state("root", "c", "CreateContainerConfigError");
    node.wait("the command to fail", |said| {
        (said.last_state("command", "c") == "StartError 128").then_some(())
    });
    node.wait("the volume to fail", |said| {
        said.has_event(
            "volume",
            "Warning FailedMount: MountVolume.SetUp failed for volume \"v\": configmap \"late\" not found",
        )
        .then_some(())
    });
    node.look(|said| {
        let message = said.container("image", "c")["state"]["waiting"]["message"].to_string();
        assert!(message.contains("skep image import"), "{message}");
        let message = said.container("command", "c")["lastState"]["terminated"]["message"].to_string();
        assert!(
            message.contains("/no/such/program") && message.contains("no such file"),
            "{message}"
        );
        assert_eq!(
            said.container("config", "c")["state"]["waiting"]["message"],
            "configmap \"late\" not found"
        );
        assert_eq!(said.phase("image"), "Pending");
    });
    let refused = node.log("image", json!({}));
    assert_eq!(
        refused.end,
        Some((
            400,
            "container \"c\" in pod \"image\" is waiting to start: ErrImagePull".to_owned()
        ))
    );
    // What they waited for comes: nothing waits for a back-off.
    let begun = Instant::now();
    node.import("pods.test/late:1");
    node.send(json!({"config_map": {"metadata": {"namespace": "ns", "name": "late"}, "data": {"a": "1"}}}));
    for uid in ["image", "config", "volume"] {
        node.wait_state(uid, "c", "running");
    }
    println!("running {:?} after what was missing came", begun.elapsed());
    for pod in &pods {
        node.delete_now(pod);
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn stopping_runs_the_hook_then_the_signal_then_kills() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("stop");
    let mut polite = shell("c", "trap 'echo asked; cat /tmp/hook; exit 7' TERM; sleep 3600 & wait");
    polite["lifecycle"] = json!({"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hooked > /tmp/hook"]}}});
    let polite = node.pod("polite", json!({"containers": [polite]}));
    let stubborn = node.pod(
        "stubborn",
        json!({"containers": [shell("c", "trap '' TERM; while true; do sleep 1; done")]}),
    );
    node.wait_state("polite", "c", "running");
    node.wait_state("stubborn", "c", "running");
    let log = node.ask_log("polite", json!({"follow": true}));
    let begun = Instant::now();
    node.delete(&polite, 30);
    node.delete(&stubborn, 2);
    node.wait("the polite one's end", |said| {
        said.gone.contains("polite").then_some(())
    });
    assert_eq!(node.look(|said| said.state("polite", "c")), "Error 7");
    let text = node.wait("its log's end", |said| {
        said.logs.get(&log).filter(|log| log.end.is_some()).cloned()
    });
    assert_eq!(text.text, "asked\nhooked\n");
    node.wait("the stubborn one's end", |said| {
        said.gone.contains("stubborn").then_some(())
    });
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(node.look(|said| said.state("stubborn", "c")), "Error 137");
    assert!(node.look(|said| said.has_event("polite", "Normal Killing: Stopping container c")));
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn probes_decide_readiness_and_restarts() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("probes");
    let exec = |script: &str| json!({"exec": {"command": ["/bin/sh", "-c", script]}, "periodSeconds": 1});
    let mut ready = shell("c", "sleep 2; touch /tmp/ready; sleep 3600");
    ready["readinessProbe"] = exec("test -e /tmp/ready");
    let ready = node.pod("ready", json!({"containers": [ready]}));
    let mut sick = shell("c", "exec sleep 3600");
    sick["livenessProbe"] = exec("echo too sick; exit 1");
    sick["livenessProbe"]["failureThreshold"] = json!(2);
    sick["livenessProbe"]["terminationGracePeriodSeconds"] = json!(1);
    let sick = node.pod("sick", json!({"containers": [sick]}));
    node.wait_state("ready", "c", "running");
    assert_eq!(node.look(|said| said.condition("ready", "Ready")), "False");
    node.wait("readiness", |said| {
        (said.condition("ready", "Ready") == "True").then_some(())
    });
    node.wait("a restart", |said| {
        (said.container("sick", "c")["restartCount"] == 1).then_some(())
    });
    node.look(|said| {
        assert!(said.has_event("sick", "Warning Unhealthy: Liveness probe failed: too sick"));
        assert!(said.has_event(
            "sick",
            "Normal Killing: Container c failed liveness probe, will be restarted"
        ));
    });
    node.delete_now(&ready);
    node.delete_now(&sick);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn init_containers_go_first_and_a_crash_loop_keeps_its_logs() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("loop");
    let mut init = shell("init", "echo from init > /shared/x");
    init["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    let mut main = shell("c", "cat /shared/x; echo run; echo why > /dev/termination-log; exit 4");
    main["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    let pod = node.pod(
        "p",
        json!({"initContainers": [init], "containers": [main], "volumes": [{"name": "shared", "emptyDir": {}}]}),
    );
    node.wait("the back-off", |said| {
        (said.state("p", "c") == "CrashLoopBackOff" && said.container("p", "c")["restartCount"] == 1).then_some(())
    });
    node.look(|said| {
        assert_eq!(said.state("p", "init"), "Completed 0");
        assert_eq!(said.last_state("p", "c"), "Error 4");
        assert_eq!(said.container("p", "c")["lastState"]["terminated"]["message"], "why\n");
        assert!(said.has_event(
            "p",
            "Warning BackOff: Back-off restarting failed container c in pod p_ns(p)"
        ));
    });
    assert_eq!(node.log("p", json!({"container": "c"})).text, "from init\nrun\n");
    assert_eq!(node.log("p", json!({"container": "c", "tail": 1})).text, "run\n");
    assert_eq!(
        node.log("p", json!({"container": "c", "previous": true})).text,
        "from init\nrun\n"
    );
    assert_eq!(
        node.log("p", json!({"container": "x"})).end,
        Some((400, "container x is not valid for pod p".to_owned()))
    );
    node.delete_now(&pod);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_changed_config_map_shows_in_a_running_container() {
    if !is_root() {
        return;
    }
    let mut node = Node::new("update");
    let map =
        |color: &str| json!({"config_map": {"metadata": {"namespace": "ns", "name": "cm"}, "data": {"color": color}}});
    node.send(map("blue"));
    let mut container = shell(
        "c",
        "while ! grep -q green /config/color; do sleep 0.05; done; echo now green; exit 0",
    );
    container["volumeMounts"] = json!([{"name": "v", "mountPath": "/config"}]);
    let pod = node.pod(
        "p",
        json!({"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "v", "configMap": {"name": "cm"}}]}),
    );
    node.wait_state("p", "c", "running");
    node.send(map("green"));
    node.wait("the pod to see it", |said| {
        (said.phase("p") == "Succeeded").then_some(())
    });
    node.delete_now(&pod);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
