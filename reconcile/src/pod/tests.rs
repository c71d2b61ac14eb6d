//! Scripts: a pod, what happens to it, and what the machine asked for. Tables: the pure rules one by one.

mod script;
mod tables;

use serde_json::json;

use script::Script;

#[test]
fn a_plain_pod_is_set_up_run_and_deleted() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    script.expect("prepare");
    assert_eq!(script.phase(), "Pending");
    assert_eq!(script.waiting("a"), "ContainerCreating");
    script.sandbox_ready();
    script.expect("start a#0, start b#0");
    script.started("a");
    assert_eq!(script.phase(), "Pending", "b has not begun");
    script.started("b");
    script.expect("");
    assert_eq!(
        (script.phase(), script.condition("Ready").0),
        ("Running".to_owned(), "True".to_owned())
    );
    script.delete(30);
    script.expect("");
    assert_eq!(
        script.wakes_in_s(),
        Some(30),
        "waits for the withdrawal, within the grace"
    );
    script.pass(1);
    script.allow_stop();
    script.expect("stop a within 29, stop b within 29");
    script.exited("a", 0);
    script.expect("");
    script.exited("b", 143);
    script.expect("release");
    assert_eq!(script.phase(), "Failed");
    script.released();
    script.expect("forget");
}

#[test]
fn without_an_answer_the_stop_begins_when_the_grace_is_used_up() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.delete(5);
    script.expect("");
    script.pass(5);
    script.expect("stop a within 2");
    script.pass(2);
    script.expect("kill a");
    script.expect("");
}

#[test]
fn a_grace_of_zero_waits_for_nothing() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.delete(0);
    script.expect("stop a within 0");
    script.expect("kill a");
    script.exited("a", 137);
    script.expect("release");
}

#[test]
fn a_second_deletion_shortens_the_grace() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.allow_stop();
    script.delete(60);
    script.expect("stop a within 60");
    script.pass(5);
    script.delete(10);
    script.expect("");
    assert_eq!(script.wakes_in_s(), Some(5));
    script.pass(5);
    script.expect("kill a");
}

#[test]
fn an_object_that_is_gone_is_killed_and_forgotten() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.remove();
    script.expect("kill a");
    script.exited("a", 137);
    script.expect("release");
    script.released();
    script.expect("forget");
}

#[test]
fn a_pod_that_is_deleted_before_anything_was_made_is_released_all_the_same() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
    script.delete(30);
    script.expect("release");
    script.released();
    script.expect("forget");
    assert_eq!(script.phase(), "Pending");
}

#[test]
fn a_deletion_during_the_set_up_waits_for_it() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
    script.expect("prepare");
    script.delete(30);
    script.expect("");
    script.sandbox_ready();
    script.expect("release");
}

#[test]
fn a_container_that_is_starting_is_stopped_once_it_runs() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start a#0");
    script.allow_stop();
    script.delete(30);
    script.expect("");
    script.started("a");
    script.expect("stop a within 30");
}

#[test]
fn restarts_wait_longer_each_time_and_are_forgiven_after_ten_minutes() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.exited("a", 1);
    script.expect("start a#1");
    for (number, delay_s) in [(2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300)] {
        script.started("a");
        script.exited("a", 1);
        script.expect("");
        assert_eq!(script.waiting("a"), "CrashLoopBackOff", "before {number}");
        assert_eq!(script.wakes_in_s(), Some(delay_s), "before {number}");
        assert_eq!(script.last_exit("a"), Some(1));
        assert_eq!(script.phase(), "Running");
        script.pass(delay_s - 1);
        script.expect("");
        script.pass(1);
        script.expect(&format!("start a#{number}"));
    }
    script.started("a");
    script.pass(600);
    script.exited("a", 1);
    script.expect("start a#9");
    script.started("a");
    script.exited("a", 1);
    assert_eq!(script.wakes_in_s(), Some(10));
    let message = script.waiting_message("a");
    assert_eq!(message, "back-off 10s restarting failed container=a pod=p_ns(u)");
    assert!(script.noted("Warning BackOff: Back-off restarting failed container a in pod p_ns(u)"));
}

#[test]
fn the_restart_policy_decides_who_runs_again_and_how_the_pod_ends() {
    // policy, exit codes of a and b, actions, phase
    for (policy, codes, actions, phase) in [
        ("Always", [0, 0], "start a#1, start b#1", "Running"),
        ("OnFailure", [0, 0], "release", "Succeeded"),
        ("OnFailure", [0, 3], "start b#1", "Running"),
        ("Never", [0, 0], "release", "Succeeded"),
        ("Never", [0, 3], "release", "Failed"),
    ] {
        let row = format!("{policy} {codes:?}");
        let mut script =
            Script::running(json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]}));
        script.exited_quietly("a", codes[0]);
        script.exited_quietly("b", codes[1]);
        assert_eq!(script.step(), actions, "{row}");
        assert_eq!(script.phase(), phase, "{row}");
        if phase != "Running" {
            script.released();
            script.expect("");
            assert_eq!(script.phase(), phase, "{row}: stays");
            let expected = if phase == "Succeeded" {
                "PodCompleted"
            } else {
                "PodFailed"
            };
            assert_eq!(
                script.condition("Ready"),
                ("False".to_owned(), expected.to_owned()),
                "{row}"
            );
        }
    }
}

#[test]
fn init_containers_run_one_after_the_other_and_hold_the_rest_back() {
    let mut script = Script::new(json!({
        "initContainers": [{"name": "i"}, {"name": "j"}],
        "containers": [{"name": "a"}],
    }));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start i#0");
    script.started("i");
    script.expect("");
    assert_eq!(script.waiting("a"), "PodInitializing");
    assert_eq!(
        script.condition("Initialized"),
        ("False".to_owned(), "ContainersNotInitialized".to_owned())
    );
    script.exited("i", 1);
    script.expect("start i#1");
    script.started("i");
    script.exited("i", 0);
    script.expect("start j#0");
    script.started("j");
    script.exited("j", 0);
    script.expect("start a#0");
    assert_eq!(script.condition("Initialized").0, "True");
    script.started("a");
    script.expect("");
    // Init containers do not run again with a container, but with a new sandbox.
    script.exited("a", 1);
    script.expect("start a#1");
    script.started("a");
    script.pass(1);
    script.lose_sandbox();
    script.expect("kill a");
    script.exited("a", 137);
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start i#2");
}

#[test]
fn a_failed_init_container_of_a_pod_that_never_restarts_ends_it() {
    let mut script = Script::new(json!({
        "restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}],
    }));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start i#0");
    script.started("i");
    script.exited("i", 1);
    script.expect("release");
    assert_eq!(script.phase(), "Failed");
}

#[test]
fn sidecars_start_before_and_stop_after_the_containers_in_reverse_order() {
    let mut script = Script::new(json!({
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
            {"name": "t", "restartPolicy": "Always"},
            {"name": "i"},
        ],
        "containers": [{"name": "a"}],
    }));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start s#0");
    script.started("s");
    script.expect("");
    script.startup_succeeded("s");
    script.expect("start t#0");
    script.started("t");
    script.expect("start i#0");
    script.started("i");
    script.exited("i", 0);
    script.expect("start a#0");
    script.started("a");
    // A sidecar runs again whatever the pod's policy, and holds nobody back any more.
    script.exited("s", 1);
    script.expect("start s#1");
    script.started("s");
    script.startup_succeeded("s");
    script.exited("a", 0);
    script.expect("stop t within 30");
    script.exited("t", 0);
    script.expect("stop s within 30");
    script.exited("s", 0);
    script.expect("release");
    assert_eq!(script.phase(), "Succeeded");
}

#[test]
fn a_missing_image_is_tried_again_with_back_off_or_when_images_change() {
    let mut script = Script::new(json!({"containers": [{"name": "a", "image": "x"}]}));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start a#0");
    script.refused("a", super::RefusalReason::ErrImagePull);
    script.expect("");
    assert_eq!(
        (script.waiting("a"), script.wakes_in_s()),
        ("ErrImagePull".to_owned(), Some(10))
    );
    script.pass(10);
    script.expect("start a#0");
    script.refused("a", super::RefusalReason::ErrImagePull);
    script.expect("");
    assert_eq!(
        (script.waiting("a"), script.wakes_in_s()),
        ("ImagePullBackOff".to_owned(), Some(20))
    );
    assert_eq!(script.phase(), "Pending");
    script.retry("a");
    script.expect("start a#0");
    script.started("a");
    assert_eq!(script.phase(), "Running");
    for note in [
        "Warning Failed: Failed to pull image \"x\": because",
        "Warning Failed: Error: ErrImagePull",
        "Normal BackOff: Back-off pulling image \"x\"",
        "Warning Failed: Error: ImagePullBackOff",
    ] {
        assert!(script.noted(note), "{note}");
    }
}

#[test]
fn a_name_that_is_no_image_is_not_tried_again() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start a#0");
    script.refused("a", super::RefusalReason::InvalidImageName);
    script.expect("");
    assert_eq!(
        (script.waiting("a"), script.wakes_in_s()),
        ("InvalidImageName".to_owned(), None)
    );
}

#[test]
fn a_refused_restart_waits_for_both_and_keeps_the_last_state() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    script.exited("a", 2);
    script.expect("start a#1");
    script.refused("a", super::RefusalReason::CreateContainerConfigError);
    script.expect("");
    assert_eq!(script.waiting("a"), "CreateContainerConfigError");
    assert_eq!(script.last_exit("a"), Some(2));
    script.pass(10);
    script.expect("start a#1");
}

#[test]
fn a_failed_liveness_probe_stops_the_container_and_it_restarts() {
    let mut script = Script::running(json!({
        "terminationGracePeriodSeconds": 7, "containers": [{"name": "a", "livenessProbe": {"tcpSocket": {"port": 1}}}],
    }));
    script.unhealthy("a", "failed liveness probe", None);
    script.expect("stop a within 7");
    assert!(script.noted("Normal Killing: Container a failed liveness probe, will be restarted"));
    script.pass(7);
    script.expect("kill a");
    script.exited("a", 137);
    script.expect("start a#1");
    script.started("a");
    script.unhealthy("a", "failed liveness probe", Some(1));
    script.expect("stop a within 1");
}

#[test]
fn readiness_follows_the_probes_and_gates() {
    let mut script = Script::running(json!({
        "readinessGates": [{"conditionType": "example.com/lb"}],
        "containers": [{"name": "a", "readinessProbe": {"tcpSocket": {"port": 1}}}],
    }));
    assert_eq!(
        script.condition("ContainersReady"),
        ("False".to_owned(), "ContainersNotReady".to_owned())
    );
    script.ready("a", true);
    assert_eq!(script.condition("ContainersReady").0, "True");
    assert_eq!(
        script.condition("Ready"),
        ("False".to_owned(), "ReadinessGatesNotReady".to_owned())
    );
    script.foreign_condition("example.com/lb", "True");
    assert_eq!(script.condition("Ready").0, "True");
    assert_eq!(script.condition("example.com/lb").0, "True", "handed through");
    script.ready("a", false);
    assert_eq!(script.condition("Ready").0, "False");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}]}));
    let since = script.transition("Ready");
    script.pass(60);
    script.expect("");
    assert_eq!(script.transition("Ready"), since);
    script.exited("a", 1);
    assert_ne!(script.transition("Ready"), since);
}

#[test]
fn a_failed_sandbox_is_made_again_with_back_off() {
    let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
    script.expect("prepare");
    script.sandbox_failed(1);
    script.expect("");
    assert_eq!(script.wakes_in_s(), Some(10));
    script.pass(10);
    script.expect("prepare");
    script.sandbox_failed(2);
    assert_eq!(script.wakes_in_s(), Some(20));
}

#[test]
fn a_pod_that_runs_too_long_fails() {
    let mut script = Script::new(json!({"activeDeadlineSeconds": 60, "containers": [{"name": "a"}]}));
    script.expect("prepare");
    script.sandbox_ready();
    script.expect("start a#0");
    script.started("a");
    assert_eq!(script.wakes_in_s(), Some(60));
    script.pass(60);
    script.expect("stop a within 30");
    assert_eq!(script.phase(), "Running");
    script.exited("a", 0);
    script.expect("release");
    assert_eq!(
        (script.phase(), script.reason()),
        ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()))
    );
    script.released();
    script.expect("");
    assert_eq!(
        (script.phase(), script.reason()),
        ("Failed".to_owned(), Some("DeadlineExceeded".to_owned()))
    );
}

#[test]
fn a_finished_pod_is_not_started_by_a_node_that_knows_nothing_of_it() {
    for phase in ["Succeeded", "Failed"] {
        let mut script = Script::new(json!({"containers": [{"name": "a"}]}));
        script.previous.phase = Some(phase.to_owned());
        script.expect("release");
        script.released();
        script.expect("");
        assert_eq!(script.phase(), phase);
    }
}

#[test]
fn a_node_that_lost_its_records_goes_on_counting() {
    let mut first = Script::running(json!({"containers": [{"name": "a"}]}));
    first.exited("a", 1);
    first.expect("start a#1");
    first.started("a");
    let mut second = Script::new(json!({"containers": [{"name": "a"}]}));
    second.previous = first.previous.clone();
    second.expect("prepare");
    second.sandbox_ready();
    second.expect("start a#2");
}

fn limited(cpu: &str, memory: &str) -> serde_json::Value {
    json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}})
}

#[test]
fn running_containers_are_resized_where_the_node_has_room() {
    let resources = limited("1", "100Mi");
    let mut script = Script::running(json!({"containers": [{"name": "a", "resources": resources}, {"name": "b"}]}));
    script.resize("a", limited("2", "200Mi"));
    script.expect("resize a");
    script.expect("");
    assert_eq!(script.condition("PodResizeInProgress").0, "True");
    script.resized("a");
    script.expect("");
    assert!(!script.has_condition("PodResizeInProgress"), "it is done");
    // Another pod has the rest.
    script.room.others.cpu_milli = 1500;
    script.resize("a", limited("3", "200Mi"));
    script.expect("");
    let (status, reason) = script.condition("PodResizePending");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Deferred"));
    assert_eq!(script.wakes_in_s(), Some(5), "nobody tells that others have gone");
    script.room.others.cpu_milli = 1000;
    script.expect("resize a");
    script.resized("a");
    script.resize("a", limited("5", "200Mi"));
    script.expect("");
    assert_eq!(script.condition("PodResizePending").1, "Infeasible");
    // Less always fits.
    script.resize("a", limited("500m", "200Mi"));
    script.expect("resize a");
    assert!(!script.has_condition("PodResizePending"));
}

#[test]
fn a_container_that_asks_for_it_is_restarted_to_be_resized() {
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let container = json!({"name": "a", "resources": limited("1", "100Mi"), "resizePolicy": policy});
    let mut script = Script::running(json!({"containers": [container], "restartPolicy": "OnFailure"}));
    script.resize("a", limited("2", "100Mi"));
    script.expect("resize a");
    script.resized("a");
    script.resize("a", limited("2", "200Mi"));
    script.expect("stop a within 30");
    script.expect("");
    script.exited("a", 0);
    script.expect("start a#1");
    script.started("a");
    script.expect("");
    assert!(!script.has_condition("PodResizeInProgress"));
}

#[test]
fn an_ephemeral_container_runs_once_and_counts_for_nothing() {
    let mut script = Script::running(json!({"containers": [{"name": "a"}], "restartPolicy": "Always"}));
    script.add_ephemeral(json!({"name": "e", "image": "i"}));
    script.expect("start e#0");
    script.started("e");
    script.expect("");
    assert_eq!(
        (script.phase(), script.condition("Ready").0),
        ("Running".to_owned(), "True".to_owned())
    );
    script.exited("e", 1);
    script.expect("");
    assert_eq!(
        (script.phase(), script.condition("Ready").0),
        ("Running".to_owned(), "True".to_owned())
    );
    let statuses = script.previous.ephemeral_container_statuses.clone().unwrap_or_default();
    let ended = statuses[0].state.clone().and_then(|state| state.terminated);
    assert_eq!(ended.map(|ended| ended.exit_code), Some(1));
    script.delete(0);
    script.expect("stop a within 0");
}
