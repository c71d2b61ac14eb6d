//! Sets as JSON, what configurations name, what differs, what merges.

use super::*;

#[test]
fn sets_combine_member_by_member() {
    // (a, b, union, intersection, difference)
    let rows = [
        (
            json!({"f:a": {}}),
            json!({"f:b": {}}),
            json!({"f:a": {}, "f:b": {}}),
            json!({}),
            json!({"f:a": {}}),
        ),
        (
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({}),
            json!({"f:a": {"f:b": {}}}),
        ),
        (
            json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {"f:c": {}}}),
        ),
        (
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {}}),
        ),
    ];
    for (a, b, union, intersection, difference) in rows {
        let (left, right) = (set(a.clone()), set(b.clone()));
        let row = format!("{a} {b}");
        assert_eq!(left.union(&right).into_json(), union, "union: {row}");
        assert_eq!(
            left.intersection(&right).into_json(),
            intersection,
            "intersection: {row}"
        );
        assert_eq!(left.difference(&right).into_json(), difference, "difference: {row}");
        let shares = !left.intersection(&right).is_empty();
        assert_eq!(left.touches(&right), shares, "touches: {row}");
    }
}

#[test]
fn fields_v1_is_read_strictly_and_made_canonical() {
    let rows = [
        (json!({"f:a": {}}), Some(json!({"f:a": {}}))),
        (
            json!({"f:l": {"k:{ \"b\": 1, \"a\": \"x\" }": {".": {}}}}),
            Some(json!({"f:l": {"k:{\"a\":\"x\",\"b\":1}": {}}})),
        ),
        (json!({"f:s": {"v: \"x\"": {}}}), Some(json!({"f:s": {"v:\"x\"": {}}}))),
        (json!({"f:l": {"i:3": {}}}), Some(json!({"f:l": {"i:3": {}}}))),
        (json!({"z:later": {}, "f:a": {}}), Some(json!({"f:a": {}}))),
        (json!({"f": {}}), None),
        (json!({"f:a": 1}), None),
        (json!({"k:nonsense": {}}), None),
        (json!({"i:x": {}}), None),
        (json!("f:a"), None),
    ];
    for (text, expected) in rows {
        let parsed = FieldSet::parse(&text).ok().map(FieldSet::into_json);
        assert_eq!(parsed, expected, "{text}");
    }
}

#[test]
fn paths_are_shown_as_messages_show_them() {
    let fields = set(json!({
        "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}},
        "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}},
    }));
    let shown: Vec<String> = fields.paths().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            ".metadata.finalizers[=\"x/y\"]",
            ".spec.ports[port=80,protocol=\"TCP\"]",
            ".spec.ports[port=80,protocol=\"TCP\"].name",
        ]
    );
}

#[test]
fn a_configuration_names_scalars_atomic_wholes_keys_and_items() {
    let rows = [
        (
            DEPLOYMENT,
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "labels": {"app": "web"}, "finalizers": ["x/y"], "annotations": {}},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": {"app": "web"}},
                    "strategy": null,
                    "template": {"spec": {
                        "nodeSelector": {"a": "b"},
                        "containers": [{
                            "name": "c",
                            "args": ["a", "b"],
                            "ports": [{"containerPort": 80}],
                            "env": [{"name": "E", "value": "v"}],
                        }],
                    }},
                },
            }),
            json!({
                "f:apiVersion": {},
                "f:kind": {},
                "f:metadata": {
                    "f:name": {},
                    "f:labels": {"f:app": {}},
                    "f:finalizers": {"v:\"x/y\"": {}},
                    "f:annotations": {},
                },
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {},
                    "f:template": {"f:spec": {
                        "f:nodeSelector": {},
                        "f:containers": {"k:{\"name\":\"c\"}": {
                            ".": {},
                            "f:name": {},
                            "f:args": {},
                            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                ".": {},
                                "f:containerPort": {},
                            }},
                            "f:env": {"k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}},
                        }},
                    }},
                },
            }),
        ),
        (
            CONFIG_MAP,
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"f:data": {"f:a": {}, "f:b": {}}}),
        ),
    ];
    for (definition, config, expected) in rows {
        let fields = extract(place(definition), &config).unwrap();
        assert_eq!(fields.into_json(), expected, "{definition}");
    }
    let fields = extract(
        Deduced,
        &json!({"spec": {"list": [{"a": 1}], "map": {"k": {"x": null}}, "empty": {}}}),
    );
    assert_eq!(
        fields.unwrap().into_json(),
        json!({"f:spec": {
            ".": {},
            "f:list": {},
            "f:map": {".": {}, "f:k": {".": {}, "f:x": {}}},
            "f:empty": {},
        }})
    );
}

#[test]
fn a_configuration_that_does_not_fit_the_schema_is_refused_with_paths() {
    let rows = [
        (
            DEPLOYMENT,
            json!({"spec": {"replicaz": 1}}),
            vec![".spec.replicaz: field not declared in schema"],
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"replicas": "1", "template": {"spec": {"containers": [{"name": "c", "img": "x"}]}}}}),
            vec![
                ".spec.replicas: expected numeric (int or float), got string",
                ".spec.template.spec.containers[name=\"c\"].img: field not declared in schema",
            ],
        ),
        (
            SERVICE,
            json!({"spec": {"ports": [{"port": 80}, {"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]}}),
            vec![".spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]"],
        ),
        (
            POD,
            json!({"spec": {"containers": [{"image": "x"}], "volumes": {}}}),
            vec![
                ".spec.containers: element 0: associative list with keys has an element that omits all key fields \
                 [\"name\"] (and doesn't have default values for any key fields)",
                ".spec.volumes: expected list, got {}",
            ],
        ),
        (
            CONFIG_MAP,
            json!({"data": {"a": 1}, "metadata": []}),
            vec![".data.a: expected string, got 1", ".metadata: expected map, got []"],
        ),
    ];
    for (definition, config, expected) in rows {
        let faults = extract(place(definition), &config).unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{config}");
    }
}

#[test]
fn a_comparison_knows_added_modified_and_removed_parts() {
    // (definition, old, new, added, modified, removed)
    let rows = [
        (
            CONFIG_MAP,
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"data": {"a": "3", "c": "4"}}),
            json!({"f:data": {"f:c": {}}}),
            json!({"f:data": {"f:a": {}}}),
            json!({"f:data": {"f:b": {}}}),
        ),
        (
            CONFIG_MAP,
            json!({}),
            json!({"data": {"a": "1"}}),
            json!({"f:data": {".": {}, "f:a": {}}}),
            json!({}),
            json!({}),
        ),
        // Structs that are always there are not added, what else is in a new item is.
        (
            DEPLOYMENT,
            json!({}),
            json!({"spec": {
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "c"}]},
                },
            }}),
            json!({"f:spec": {
                "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                    "f:spec": {"f:containers": {
                        ".": {},
                        "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {}},
                    }},
                },
            }}),
            json!({}),
            json!({}),
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"a": "c"}}}}),
            json!({}),
            json!({"f:spec": {"f:selector": {}}}),
            json!({}),
        ),
        // Reordering a keyed list changes nothing, whole items come and go.
        (
            SERVICE,
            json!({"spec": {"ports": [{"port": 1}, {"port": 2, "protocol": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 2}, {"port": 3}]}}),
            json!({"f:spec": {"f:ports": {
                "k:{\"port\":3,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
            }}}),
            json!({}),
            json!({"f:spec": {"f:ports": {
                "k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                "k:{\"port\":2,\"protocol\":\"TCP\"}": {"f:protocol": {}},
            }}}),
        ),
        // Items that stand twice are one value.
        (
            POD,
            json!({"spec": {"containers": [{"name": "c", "env": [
                {"name": "E", "value": "1"}, {"name": "E", "value": "2"},
            ]}]}}),
            json!({"spec": {"containers": [{"name": "c", "env": [
                {"name": "E", "value": "1"}, {"name": "E", "value": "3"},
            ]}]}}),
            json!({}),
            json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:env": {"k:{\"name\":\"E\"}": {}}}}}}),
            json!({}),
        ),
    ];
    for (definition, old, new, added, modified, removed) in rows {
        let Comparison {
            added: a,
            modified: m,
            removed: r,
        } = compare(place(definition), &old, &new);
        let found = (a.into_json(), m.into_json(), r.into_json());
        assert_eq!(found, (added, modified, removed), "{old} {new}");
    }
}

#[test]
fn merging_keeps_what_the_configuration_does_not_name_and_orders_lists_by_it() {
    let ports = |list: &[i64]| -> Value {
        let items: Vec<Value> = list.iter().map(|port| json!({"port": port})).collect();
        json!({"spec": {"ports": items}})
    };
    // (live, configuration, merged), as ports of a service
    let rows: [(&[i64], &[i64], &[i64]); 8] = [
        (&[1, 2], &[], &[1, 2]),
        (&[], &[2, 1], &[2, 1]),
        (&[1, 2], &[2, 1], &[2, 1]),
        (&[1, 2, 3], &[3], &[1, 2, 3]),
        (&[1, 2, 3], &[4], &[1, 2, 3, 4]),
        (&[1, 2, 3], &[3, 1], &[2, 3, 1]),
        (&[1, 2, 3, 4], &[4, 5, 1], &[2, 3, 4, 5, 1]),
        (&[1, 2], &[1, 3, 2], &[1, 3, 2]),
    ];
    for (live, config, merged) in rows {
        let result = merge(place(SERVICE), &ports(live), &ports(config));
        assert_eq!(result, ports(merged), "{live:?} {config:?}");
    }
    let live = json!({
        "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]},
        "spec": {"selector": {"app": "old", "more": "1"}, "type": "ClusterIP"},
    });
    let config = json!({
        "metadata": {"labels": {"a": "3"}, "finalizers": ["z"]},
        "spec": {"selector": {"app": "new"}},
    });
    assert_eq!(
        merge(place(SERVICE), &live, &config),
        json!({
            "metadata": {"labels": {"a": "3", "b": "2"}, "finalizers": ["x", "y", "z"]},
            "spec": {"selector": {"app": "new"}, "type": "ClusterIP"},
        })
    );
}
