//! Bodies as kubectl sends them, and bodies that no client sends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ProtobufError, decode};
use crate::{
    resource::resources,
    schema::{Shape, TypeId, types},
};

/// The envelope around a message.
fn body(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [
        b"k8s\0".to_vec(),
        field(1, &meta),
        field(2, message),
        field(3, b""),
        field(4, b""),
    ]
    .concat()
}

/// A field with a length.
fn field(tag: u32, bytes: &[u8]) -> Vec<u8> {
    [
        varint(u64::from(tag << 3 | 2)),
        varint(bytes.len() as u64),
        bytes.to_vec(),
    ]
    .concat()
}

fn number(tag: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(tag << 3)), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn object(api_version: &str, kind: &str, message: &[u8]) -> Value {
    decode(&body(api_version, kind, message)).unwrap().1
}

#[test]
fn a_deployment_as_kubectl_creates_it() {
    let body = b"k8s\0\n\x15\n\x07apps/v1\x12\nDeployment\x12\xa7\x01\
        \n\x1d\n\x02d2\x12\0\x1a\0\"\0*\x002\08\0B\0Z\t\n\x03app\x12\x02d2\
        \x12x\x08\x02\x12\x0b\n\t\n\x03app\x12\x02d2\
        \x1a_\n\x1b\n\0\x12\0\x1a\0\"\0*\x002\08\0B\0Z\t\n\x03app\x12\x02d2\
        \x12@\x12\"\n\x05nginx\x12\x05nginx*\0B\0j\0r\0\x80\x01\0\x88\x01\0\x90\x01\0\xa2\x01\0\
        \x1a\x002\0B\0J\0R\0X\0`\0h\0\x82\x01\0\x8a\x01\0\x9a\x01\0\xc2\x01\0\
        \"\x02\n\0(\08\0\x1a\x0c\x08\0\x10\0\x18\0 \0(\08\0\x1a\0\"\0";
    let (meta, value) = decode(body).unwrap();
    assert_eq!(
        (meta.api_version.as_str(), meta.kind.as_str()),
        ("apps/v1", "Deployment")
    );
    assert_eq!(
        value,
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d2", "labels": {"app": "d2"}},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "d2"}},
                "strategy": {},
                "template": {
                    "metadata": {"labels": {"app": "d2"}},
                    "spec": {
                        "containers": [{"image": "nginx", "name": "nginx", "resources": {}}],
                    },
                },
            },
            "status": {},
        })
    );
}

#[test]
fn a_secret_a_config_map_and_options_to_delete() {
    let secret = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x1e\n\x12\n\x02s1\x12\0\x1a\0\"\0*\x002\08\0B\0\
        \x12\x06\n\x01p\x12\x01q\x1a\0\x1a\0\"\0";
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s1"}, "data": {"p": "cQ=="},
    });
    assert_eq!(decode(secret).unwrap().1, expected);

    let config_map = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1d\n\x13\n\x03cm2\x12\0\x1a\0\"\0*\x002\08\0B\0\
        \x12\x06\n\x01x\x12\x01y\x1a\0\"\0";
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm2"}, "data": {"x": "y"},
    });
    assert_eq!(decode(config_map).unwrap().1, expected);

    let options = b"k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\0\x1a\0\"\0";
    assert_eq!(
        decode(options).unwrap().1,
        json!({"apiVersion": "v1", "kind": "DeleteOptions"})
    );
    let options = [
        number(1, 0),
        field(2, &field(1, b"some-uid")),
        field(4, b"Foreground"),
        field(5, b"All"),
    ]
    .concat();
    assert_eq!(
        object("v1", "DeleteOptions", &options),
        json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": "some-uid"}, "propagationPolicy": "Foreground", "dryRun": ["All"],
        })
    );
}

#[test]
fn embedded_messages_quantities_times_ports_and_negative_numbers() {
    // ObjectMeta.creationTimestamp
    let metadata = field(8, &[number(1, 1_700_000_000), number(2, 0)].concat());
    let limits = field(1, &[field(1, b"cpu"), field(2, &field(1, b"1000m"))].concat());
    let probe = [
        field(
            1,
            &field(2, &field(2, &[number(1, 1), number(2, 0), field(3, b"web")].concat())),
        ),
        number(3, 0),
    ]
    .concat();
    let container = [field(1, b"c"), field(8, &limits), field(10, &probe)].concat();
    let volume = [field(1, b"v"), field(2, &field(19, &field(1, &field(1, b"config"))))].concat();
    let spec = [
        field(1, &volume),
        field(2, &container),
        number(4, 0),
        number(5, (-5_i64).cast_unsigned()),
    ]
    .concat();
    assert_eq!(
        object("v1", "Pod", &[field(1, &metadata), field(2, &spec)].concat()),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"},
            "spec": {
                "volumes": [{"name": "v", "configMap": {"name": "config"}}],
                "containers": [{
                    "name": "c",
                    "resources": {"limits": {"cpu": "1"}},
                    "livenessProbe": {"httpGet": {"port": "web"}},
                }],
                "terminationGracePeriodSeconds": 0,
                "activeDeadlineSeconds": -5,
            },
        })
    );
}

#[test]
fn maps_of_lists_and_unknown_fields() {
    // SubjectAccessReviewSpec.extra: a map to a message with a list.
    let extra = field(
        5,
        &[
            field(1, b"scopes"),
            field(2, &[field(1, b"a"), field(1, b"b")].concat()),
        ]
        .concat(),
    );
    let spec = [extra, field(999, b"future"), number(998, 7)].concat();
    let review = object("authorization.k8s.io/v1", "SubjectAccessReview", &field(2, &spec));
    assert_eq!(review["spec"], json!({"extra": {"scopes": ["a", "b"]}}));
}

#[test]
fn a_field_that_comes_in_two_parts_is_joined() {
    let parts = [field(1, &field(1, b"a")), field(1, &field(3, b"ns"))].concat();
    assert_eq!(
        object("v1", "ConfigMap", &parts)["metadata"],
        json!({"name": "a", "namespace": "ns"})
    );
}

#[test]
fn what_is_malformed_is_refused() {
    use ProtobufError::{Malformed, Prefix, TooBig, UnknownKind};
    assert!(matches!(decode(b""), Err(Prefix)));
    assert!(matches!(decode(b"{\"kind\":\"Pod\"}"), Err(Prefix)));
    assert!(matches!(decode(b"k8s\0"), Err(UnknownKind(_))));
    assert!(matches!(decode(&body("v1", "Podd", b"")), Err(UnknownKind(_))));
    let rows: [(&str, Vec<u8>); 8] = [
        ("cut off", vec![0x0a, 0x05, b'a']),
        ("huge length", [vec![0x0a], varint(u64::MAX)].concat()),
        ("group", vec![0x0b]),
        ("field zero", vec![0x02, 0x00]),
        ("endless number", vec![0xff; 12]),
        ("wrong type", number(1, 5)),
        ("not UTF-8", field(1, &field(1, &[0xff, 0xfe]))),
        ("time", field(1, &field(8, &number(1, u64::MAX >> 1)))),
    ];
    for (name, message) in rows {
        let result = decode(&body("v1", "ConfigMap", &message));
        assert!(matches!(result, Err(Malformed(_))), "{name}: {result:?}");
    }
    let many = field(1, b"").repeat(1);
    let list = field(2, &many).repeat(400_000);
    assert!(matches!(decode(&body("v1", "ConfigMapList", &list)), Err(TooBig(_))));
}

#[test]
fn messages_that_contain_themselves_are_bounded() {
    // JSONSchemaProps.not, again and again.
    let mut nested = Vec::new();
    for _ in 0..2000 {
        nested = field(28, &nested);
    }
    let version = field(4, &field(1, &nested));
    let definition = field(2, &field(7, &version));
    let result = decode(&body(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &definition,
    ));
    assert_eq!(result, Err(ProtobufError::TooBig("nests too deep")));
}

#[test]
fn random_bytes_never_panic() {
    let seed = 0x5eed_u64;
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    for round in 0..2000 {
        let length = usize::from(next());
        let message: Vec<u8> = (0..length).map(|_| next()).collect();
        let result = decode(&body("v1", "Pod", &message));
        assert!(
            matches!(
                result,
                Ok(_) | Err(ProtobufError::Malformed(_) | ProtobufError::TooBig(_))
            ),
            "seed {seed:#x} round {round}: {result:?}"
        );
    }
}

/// Fields that are newer than the tags we have: alpha in v1.36, and mostly of statuses, which come as JSON.
const WITHOUT_TAG: [&str; 48] = [
    "ApplyConfiguration.expression",
    "CSIDriverSpec.preventPodSchedulingIfMissing",
    "Device.nodeAllocatableResourceMappings",
    "DeviceAttribute.bools",
    "DeviceAttribute.ints",
    "DeviceAttribute.strings",
    "DeviceAttribute.versions",
    "ImageVolumeStatus.imageRef",
    "JSONPatch.expression",
    "JSONSchemaProps.x-kubernetes-embedded-resource",
    "JSONSchemaProps.x-kubernetes-int-or-string",
    "JSONSchemaProps.x-kubernetes-list-map-keys",
    "JSONSchemaProps.x-kubernetes-list-type",
    "JSONSchemaProps.x-kubernetes-map-type",
    "JSONSchemaProps.x-kubernetes-preserve-unknown-fields",
    "JSONSchemaProps.x-kubernetes-validations",
    "MutatingAdmissionPolicy.metadata",
    "MutatingAdmissionPolicy.spec",
    "MutatingAdmissionPolicyBinding.metadata",
    "MutatingAdmissionPolicyBinding.spec",
    "MutatingAdmissionPolicyBindingSpec.matchResources",
    "MutatingAdmissionPolicyBindingSpec.paramRef",
    "MutatingAdmissionPolicyBindingSpec.policyName",
    "MutatingAdmissionPolicySpec.failurePolicy",
    "MutatingAdmissionPolicySpec.matchConditions",
    "MutatingAdmissionPolicySpec.matchConstraints",
    "MutatingAdmissionPolicySpec.mutations",
    "MutatingAdmissionPolicySpec.paramKind",
    "MutatingAdmissionPolicySpec.reinvocationPolicy",
    "MutatingAdmissionPolicySpec.variables",
    "Mutation.applyConfiguration",
    "Mutation.jsonPatch",
    "Mutation.patchType",
    "NamedRuleWithOperations.apiGroups",
    "NamedRuleWithOperations.apiVersions",
    "NamedRuleWithOperations.resources",
    "NamedRuleWithOperations.scope",
    "NodeAllocatableResourceClaimStatus.containers",
    "NodeAllocatableResourceClaimStatus.resourceClaimName",
    "NodeAllocatableResourceClaimStatus.resources",
    "NodeAllocatableResourceMapping.allocationMultiplier",
    "NodeAllocatableResourceMapping.capacityKey",
    "PodSchedulingGroup.podGroupName",
    "PodSpec.schedulingGroup",
    "PodStatus.nodeAllocatableResourceClaimStatuses",
    "ResourceHealth.message",
    "VolumeMountStatus.volumeStatus",
    "VolumeStatus.image",
];

#[test]
fn every_field_of_every_kind_has_a_place_in_protobuf() {
    fn inner(shape: &Shape) -> Option<TypeId> {
        match shape {
            Shape::Struct(id) => Some(*id),
            Shape::List(item) | Shape::Map(item) => inner(item),
            _ => None,
        }
    }

    let types = types();
    let mut open = Vec::new();
    for row in resources() {
        let root = types.by_kind(row.group, row.version, row.kind);
        open.push(root.unwrap_or_else(|| panic!("no type of {}", row.qualified())));
    }
    let mut seen: BTreeSet<_> = open.iter().copied().collect();
    let mut without = BTreeSet::new();
    while let Some(id) = open.pop() {
        for field in types.fields(id) {
            if field.tag.is_none() && !matches!(&*field.name, "apiVersion" | "kind") {
                without.insert(format!("{}.{}", types.short_name(id), field.name));
            }
            if let Some(next) = inner(&field.shape).filter(|next| seen.insert(*next)) {
                open.push(next);
            }
        }
    }
    assert_eq!(without.iter().map(String::as_str).collect::<Vec<_>>(), WITHOUT_TAG);
}

#[test]
fn a_schema_holds_another_or_what_stands_in_its_place() {
    let text = field(5, b"string");
    let zeros = [number(37, 0), number(10, 0), field(4, b"")].concat();
    let any = field(30, &number(1, 1));
    let map = field(30, &field(2, &text));
    let list = field(24, &field(1, &text));
    let property = |name: &[u8], schema: Vec<u8>| field(29, &[field(1, name), field(2, &schema)].concat());
    let schema = [
        zeros,
        property(b"any", any),
        property(b"list", list),
        property(b"map", map),
        field(8, &field(1, b"{\"a\":1}")),
    ]
    .concat();
    let version = [field(1, b"v1"), field(4, &field(1, &schema))].concat();
    let object = object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &field(2, &field(7, &version)),
    );
    assert_eq!(
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        json!({
            "default": { "a": 1 },
            "properties": {
                "any": { "additionalProperties": true },
                "list": { "items": { "type": "string" } },
                "map": { "additionalProperties": { "type": "string" } },
            },
        })
    );
}
