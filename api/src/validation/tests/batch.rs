//! Jobs and cron jobs.

use serde_json::{Value, json};

use super::{super::cron::schedule, Change, check_rows, complete, update_rows, with};

fn pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    })
}

fn job() -> Value {
    let object = json!({
        "metadata": {"name": "a", "namespace": "ns", "uid": "u"},
        "spec": {"manualSelector": true, "selector": {"matchLabels": {"app": "x"}}, "template": pod()},
    });
    complete("batch", "jobs", object)
}

fn indexed() -> Value {
    with(
        &job(),
        &[
            ("/spec/completionMode", json!("Indexed")),
            ("/spec/completions", json!(3)),
        ],
    )
}

#[test]
fn jobs_end() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/template/spec/restartPolicy", json!("Always"))],
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            vec![("/spec/backoffLimit", json!(-1))],
            &["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/completionMode", json!("Some"))],
            &["spec.completionMode: Unsupported value: \"Some\": supported values: \"Indexed\", \"NonIndexed\""],
        ),
        (
            vec![("/spec/backoffLimitPerIndex", json!(1))],
            &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            vec![("/spec/successPolicy", json!({"rules": []}))],
            &["spec.successPolicy: Invalid value: {\"rules\":[]}: requires indexed completion mode"],
        ),
        (
            vec![("/spec/managedBy", json!("me"))],
            &["spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path"],
        ),
        (
            vec![("/spec/selector", Value::Null)],
            &["spec.selector: Required value"],
        ),
        (
            vec![("/spec/podReplacementPolicy", json!("Never"))],
            &[
                "spec.podReplacementPolicy: Unsupported value: \"Never\": supported values: \"Failed\", \
               \"TerminatingOrFailed\"",
            ],
        ),
        (
            vec![("/spec/manualSelector", json!(false))],
            &[
                "spec.template.metadata.labels[controller-uid]: Required value: must be 'u'",
                "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Required value: must be 'u'",
                "spec.template.metadata.labels[job-name]: Required value: must be 'a'",
                "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'a'",
            ],
        ),
    ];
    check_rows("batch", "jobs", &job(), &rows);
}

#[test]
fn indexed_jobs_have_a_bounded_number_of_indexes() {
    let long = "a".repeat(62);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/completions", Value::Null)],
            &["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            vec![("/spec/parallelism", json!(100_001))],
            &["spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode"],
        ),
        (
            vec![
                ("/spec/backoffLimitPerIndex", json!(1)),
                ("/spec/maxFailedIndexes", json!(4)),
            ],
            &["spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"],
        ),
        (
            vec![("/metadata/name", json!(long))],
            &["metadata.name: Invalid value: "],
        ),
        (
            vec![("/spec/successPolicy", json!({"rules": []}))],
            &["spec.successPolicy.rules: Required value: at least one rules must be specified"],
        ),
        (
            vec![(
                "/spec/successPolicy",
                json!({"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}),
            )],
            &["spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2"],
        ),
        (
            vec![("/spec/successPolicy", json!({"rules": [{"succeededIndexes": "1,0"}]}))],
            &["spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"1,0\": error parsing succeededIndexes"],
        ),
    ];
    check_rows("batch", "jobs", &indexed(), &rows);
}

#[test]
fn failure_policies_are_told_by_exit_codes_or_conditions() {
    let rule = |rule: Value| -> Vec<Change> {
        vec![
            ("/spec/podFailurePolicy", json!({"rules": [rule]})),
            ("/spec/podReplacementPolicy", json!("Failed")),
        ]
    };
    let codes = |codes: Value| rule(json!({"action": "FailJob", "onExitCodes": codes}));
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (codes(json!({"operator": "In", "values": [1, 2]})), &[]),
        (
            codes(json!({"operator": "In", "values": [0, 0]})),
            &[
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Duplicate value: 0",
            ],
        ),
        (
            codes(json!({"operator": "NotIn", "values": [2, 1], "containerName": "other"})),
            &[
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"other\": must be one of",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered",
            ],
        ),
        (
            rule(json!({"action": "Ignore"})),
            &["spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions"],
        ),
        (
            rule(json!({"onPodConditions": [{"type": "Disrupted", "status": "Maybe"}]})),
            &[
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \
                 \"FailJob\" \"Ignore\"]",
                "spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: \"Maybe\"",
            ],
        ),
        (
            rule(json!({"action": "FailIndex", "onPodConditions": [{"type": "Disrupted", "status": "True"}]})),
            &["spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex"],
        ),
    ];
    check_rows("batch", "jobs", &job(), &rows);
}

#[test]
fn jobs_keep_their_template_unless_they_never_started() {
    let immutable: &[&str] = &["spec.template: Invalid value: "];
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/parallelism", json!(7))], &[]),
        (vec![("/spec/suspend", json!(true))], &[]),
        (
            vec![("/spec/completions", json!(7))],
            &["spec.completions: Invalid value: 7: field is immutable"],
        ),
        (vec![("/spec/template/spec/hostNetwork", json!(true))], immutable),
        (vec![("/spec/template/spec/nodeSelector", json!({"a": "b"}))], immutable),
    ];
    update_rows("batch", "jobs", &job(), &rows);
    let suspended = with(&job(), &[("/spec/suspend", json!(true))]);
    let nodes = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/template/spec/nodeSelector", json!({"a": "b"}))], &[]),
        (vec![("/spec/template/spec/affinity", nodes)], &[]),
        (vec![("/spec/template/metadata/annotations", json!({"a": "b"}))], &[]),
        (vec![("/spec/template/spec/hostNetwork", json!(true))], immutable),
    ];
    update_rows("batch", "jobs", &suspended, &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/completions", json!(5)), ("/spec/parallelism", json!(5))],
            &[],
        ),
        (
            vec![("/spec/completions", json!(5))],
            &["spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"],
        ),
    ];
    update_rows("batch", "jobs", &indexed(), &rows);
}

#[test]
fn cron_jobs_have_a_schedule_a_zone_and_a_short_name() {
    let good = complete(
        "batch",
        "cronjobs",
        json!({
            "metadata": {"name": "a", "namespace": "ns"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": pod()}}},
        }),
    );
    let long = "a".repeat(53);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/schedule", json!(""))], &["spec.schedule: Required value"]),
        (
            vec![("/spec/schedule", json!("* * *"))],
            &["spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]"],
        ),
        (
            vec![("/spec/schedule", json!("TZ=UTC * * * * *"))],
            &["spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule"],
        ),
        (vec![("/spec/timeZone", json!("Europe/Berlin"))], &[]),
        (
            vec![("/spec/timeZone", json!("../x"))],
            &["spec.timeZone: Invalid value: \"../x\": unknown time zone ../x"],
        ),
        (
            vec![("/spec/timeZone", json!("local"))],
            &["spec.timeZone: Invalid value: \"local\": timeZone must be an explicit time zone"],
        ),
        (
            vec![("/spec/concurrencyPolicy", json!("Maybe"))],
            &[
                "spec.concurrencyPolicy: Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \
               \"Replace\"",
            ],
        ),
        (
            vec![("/spec/jobTemplate/spec/selector", json!({"matchLabels": {"a": "b"}}))],
            &["spec.jobTemplate.spec.selector: Invalid value: "],
        ),
        (
            vec![("/metadata/name", json!(long))],
            &["metadata.name: Invalid value: "],
        ),
        (
            vec![("/spec/failedJobsHistoryLimit", json!(-1))],
            &["spec.failedJobsHistoryLimit: Invalid value: -1"],
        ),
    ];
    check_rows("batch", "cronjobs", &good, &rows);
}

#[test]
fn schedules_are_five_fields_or_a_name_for_them() {
    for good in [
        "* * * * *",
        "*/5 0-6,12 1 JAN-mar ?",
        "0 0 * * sun",
        "5/15 * * * *",
        "@daily",
        "@every 1h30m",
        "CRON_TZ=UTC 0 0 * * *",
    ] {
        assert_eq!(schedule(good), Ok(()), "{good}");
    }
    let rows = [
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        (
            "x * * * *",
            "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        ("", "empty spec string"),
        ("@often", "unrecognized descriptor: @often"),
        (
            "@every now",
            "failed to parse duration @every now: time: invalid duration \"now\"",
        ),
    ];
    for (text, reason) in rows {
        assert_eq!(schedule(text), Err(reason.to_owned()), "{text}");
    }
}
