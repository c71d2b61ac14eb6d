use super::Known;
use crate::{fields::KindPlace, resource};

fn known() -> Known {
    let deployments = resource::by_path("apps", "v1", "deployments").unwrap();
    let mut known = Known::default();
    known.set("object", KindPlace::of(deployments).unwrap());
    known.add_variable("replicas", "object.spec.replicas");
    known
}

#[test]
fn what_a_schema_does_not_have_and_what_operators_do_not_take_is_told() {
    let rows: &[(&str, &[&str])] = &[
        ("object.spec.replicas > 1", &[]),
        ("object.spec.replicas > 1.5", &[]),
        (
            "object.metadata.labels['a'] == 'b' && object.metadata.labels.a == 'b'",
            &[],
        ),
        (
            "object.spec.template.spec.containers.all(c, c.image.startsWith('a') && c.ports.size() < 3)",
            &[],
        ),
        ("has(object.spec.paused) && object.spec.paused", &[]),
        ("object.?spec.?unknown.orValue(5) == 5", &[]),
        (
            "object.metadata.creationTimestamp < timestamp('2020-01-01T00:00:00Z')",
            &[],
        ),
        ("request.anything.at.all == 5 && params.x > 'y'", &[]),
        ("variables.replicas + 1 > 3", &[]),
        ("object.spec.replicas == null", &[]),
        ("[1, 2].map(x, x * 2).exists(x, x == object.spec.replicas)", &[]),
        (
            "object.spec.template.spec.containers.filter(c, has(c.securityContext)).size() == 0",
            &[],
        ),
        ("{'a': 1}.a > 0 ? 'x' + 'y' == 'xy' : object.kind != ''", &[]),
        ("object.replicas > 1", &["undefined field 'replicas'"]),
        ("has(object.spec.replica)", &["undefined field 'replica'"]),
        (
            "object.spec.template.spec.containers.all(c, c.imag != '')",
            &["undefined field 'imag'"],
        ),
        ("variables.others > 1", &["undefined field 'others'"]),
        (
            "object.spec.replicas.more > 1",
            &["type 'int' does not support field selection"],
        ),
        (
            "object.spec.replicas > '1'",
            &["found no matching overload for '_>_' applied to '(int, string)'"],
        ),
        (
            "'got ' + object.spec.replicas",
            &["found no matching overload for '_+_' applied to '(string, int)'"],
        ),
        (
            "variables.replicas == 'x' && object.spec.replicas",
            &[
                "found no matching overload for '_==_' applied to '(int, string)'",
                "found no matching overload for '_&&_' applied to '(bool, int)'",
            ],
        ),
        ("object.spec.replicas >", &[]),
    ];
    for (expression, expected) in rows {
        let faults = known().faults(expression);
        let told: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(told, *expected, "{expression}");
    }
}

#[test]
fn a_fault_is_told_with_its_place() {
    let shown = |expression: &str| known().faults(expression)[0].to_string();
    assert_eq!(
        shown("object.replicas > 1"),
        "ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^"
    );
    assert_eq!(
        shown("true &&\n  object.spec.replicas > '1'"),
        "ERROR: <input>:2:24: found no matching overload for '_>_' applied to '(int, string)'\n |   object.spec.replicas \
         > '1'\n | .......................^"
    );
}
