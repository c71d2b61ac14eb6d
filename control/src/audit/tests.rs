use std::{fs, path::Path};

use prometheus::IntCounter;
use serde_json::json;

use super::*;

fn meter() -> AuditMeter {
    AuditMeter {
        events: IntCounter::new("events", "-").unwrap(),
        lost: IntCounter::new("lost", "-").unwrap(),
    }
}

fn config(dir: &Path, policy: &str) -> AuditConfig {
    let policy_file = dir.join("policy.yaml");
    fs::write(
        &policy_file,
        format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{policy}\n"),
    )
    .unwrap();
    AuditConfig {
        policy_file: Some(policy_file),
        log_path: Some(dir.join("logs/audit.log")),
        size_mb_max: 1,
        backups_max: 2,
        age_days_max: 0,
    }
}

fn arrival(id: &str) -> Arrival {
    Arrival {
        id: id.to_owned(),
        at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        uri: "/api/v1/namespaces/a/configmaps".to_owned(),
        source_ips: vec!["10.0.0.1".parse().unwrap()],
        user_agent: "test".to_owned(),
    }
}

fn creation() -> Request {
    Request::Resource(crate::authorization::ResourceRequest {
        verb: "create".to_owned(),
        resource: "configmaps".to_owned(),
        namespace: "a".to_owned(),
        ..Default::default()
    })
}

/// Follows one creation from beginning to end.
fn create(audit: &Audit, id: &str, object: &Value) {
    let mut trail = audit.follow(arrival(id));
    let reference = ObjectReference {
        resource: "configmaps".to_owned(),
        namespace: "a".to_owned(),
        version: "v1".to_owned(),
        ..ObjectReference::default()
    };
    trail.received(Some(&Caller::system("ann")), &creation(), Some(reference));
    trail.annotate("authorization.k8s.io/decision", "allow");
    trail.request_object(object.clone());
    trail.response_object(object.clone());
    trail.complete(json!({ "metadata": {}, "code": 201 }));
}

fn lines(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("logs/audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_level_says_how_much_is_written() {
    let object = json!({ "metadata": { "name": "m", "managedFields": [{}] }, "data": { "a": "secret" } });
    let rows = [
        ("None", 0, false, false),
        ("Metadata", 2, false, false),
        ("Request", 2, true, false),
        ("RequestResponse", 2, true, true),
    ];
    for (level, count, has_request, has_response) in rows {
        let dir = tempfile::tempdir().unwrap();
        let policy = format!("omitManagedFields: true\nrules: [{{level: {level}}}]");
        let audit = Audit::open(&config(dir.path(), &policy), meter()).unwrap();
        create(&audit, "one", &object);
        audit.close().await;
        let lines = lines(dir.path());
        assert_eq!(lines.len(), count, "{level}");
        let Some(last) = lines.last() else { continue };
        assert_eq!(lines[0]["stage"], "RequestReceived", "{level}");
        assert!(lines[0].get("responseStatus").is_none(), "{level}");
        assert_eq!(last["stage"], "ResponseComplete", "{level}");
        assert_eq!(last["auditID"], "one", "{level}");
        assert_eq!(last["level"], level);
        assert_eq!(last["user"]["username"], "ann", "{level}");
        assert_eq!(last["responseStatus"]["code"], 201, "{level}");
        assert_eq!(
            last["requestReceivedTimestamp"], "2026-01-02T03:04:05.678901Z",
            "{level}"
        );
        assert_eq!(last["annotations"]["authorization.k8s.io/decision"], "allow", "{level}");
        assert_eq!(last.get("requestObject").is_some(), has_request, "{level}");
        assert_eq!(last.get("responseObject").is_some(), has_response, "{level}");
        assert_eq!(last.to_string().contains("secret"), has_request, "{level}");
        assert!(!last.to_string().contains("managedFields"), "{level}");
        // The path of a creation does not say the name, the object does.
        assert_eq!(last["objectRef"]["name"] == "m", has_request, "{level}");
    }
}

#[tokio::test]
async fn stages_that_the_policy_omits_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "omitStages: [RequestReceived]\nrules: [{level: Metadata}]";
    let audit = Audit::open(&config(dir.path(), policy), meter()).unwrap();
    create(&audit, "one", &json!({}));
    audit.close().await;
    let stages: Vec<Value> = lines(dir.path()).iter_mut().map(|line| line["stage"].take()).collect();
    assert_eq!(stages, ["ResponseComplete"]);
}

#[tokio::test]
async fn a_full_log_is_put_aside_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "omitStages: [RequestReceived]\nrules: [{level: Request}]";
    let counted = meter();
    let audit = Audit::open(&config(dir.path(), policy), counted.clone()).unwrap();
    let object = json!({ "data": "x".repeat(300 << 10) });
    for index in 0..20 {
        create(&audit, &index.to_string(), &object);
        // Names of older logs differ by milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    audit.close().await;
    let mut names: Vec<String> = fs::read_dir(dir.path().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(lines(dir.path()).last().unwrap()["auditID"], "19");
    assert_eq!((counted.events.get(), counted.lost.get()), (20, 0));
}

#[tokio::test]
async fn what_a_slow_disk_cannot_take_is_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "rules: [{level: Metadata}]";
    let config = AuditConfig {
        // Nobody reads it: writing to it waits for ever.
        log_path: Some(dir.path().join("pipe")),
        ..config(dir.path(), policy)
    };
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    // A reader that opens it and does not read.
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.path().join("pipe"))
        .unwrap();
    let counted = meter();
    let audit = Audit::open(&config, counted.clone()).unwrap();
    for index in 0..8000 {
        create(&audit, &index.to_string(), &json!({}));
    }
    assert_eq!(counted.events.get(), 16_000);
    assert!(counted.lost.get() > 1000, "{}", counted.lost.get());
    drop(reader);
}

#[test]
fn without_a_policy_or_a_path_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let whole = config(dir.path(), "rules: [{level: Metadata}]");
    for partial in [
        AuditConfig::default(),
        AuditConfig {
            policy_file: None,
            ..whole.clone()
        },
        AuditConfig {
            log_path: None,
            ..whole
        },
    ] {
        let audit = Audit::open(&partial, meter()).unwrap();
        create(&audit, "one", &json!({}));
    }
    assert!(!dir.path().join("logs").exists());
}
