use api::resource::by_path;
use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "d", "labels": { "app": "d" } },
        "spec": {
            "replicas": 1,
            "template": { "spec": { "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "y" }] } },
        },
    })
}

/// The deployment as policies with these mutations make it, one mutation after the other.
fn made(mutations: &Value) -> Result<Value, String> {
    let spec =
        json!({ "variables": [{ "name": "n", "expression": "object.spec.replicas + 1" }], "mutations": mutations });
    let policy = Policy::<Mutations>::parse("p", &spec);
    let place = KindPlace::of(by_path("apps", "v1", "deployments").unwrap());
    let mut object = deployment();
    for mutation in &policy.effect.list {
        let mut names = Names::default();
        names.set("object", &object);
        names.set("params", &json!({ "key": "a/b~c" }));
        policy.change(mutation, &mut names)?.make(place, &mut object)?;
    }
    Ok(object)
}

fn applied(expression: &str) -> Value {
    json!([{ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": expression } }])
}

fn patched(expression: &str) -> Value {
    json!([{ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } }])
}

#[test]
fn mutations_change_objects() {
    let with = |pointer: &str, value: Value| {
        let mut object = deployment();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        object
    };
    let containers = "/spec/template/spec/containers";
    let rows = [
        (
            applied("Object{spec: Object.spec{replicas: variables.n}}"),
            with("/spec/replicas", json!(2)),
        ),
        (applied("Object{}"), deployment()),
        (
            applied("Object{metadata: Object.metadata{labels: {'app': 'e', 'x': object.metadata.name}}}"),
            with("/metadata/labels", json!({ "app": "e", "x": "d" })),
        ),
        (
            applied("Object{metadata: Object.metadata{?labels: object.metadata.?annotations}}"),
            deployment(),
        ),
        (
            applied(
                "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
                    containers: object.spec.template.spec.containers.filter(c, c.name == 'b').map(c,
                        Object.spec.template.spec.containers{name: c.name, image: c.image + ':1'}),
                    initContainers: [Object.spec.template.spec.initContainers{name: 'c', image: 'z'}]
                }}}}",
            ),
            {
                let mut object = with(
                    containers,
                    json!([{ "name": "a", "image": "x" }, { "name": "b", "image": "y:1" }]),
                );
                object["spec"]["template"]["spec"]["initContainers"] = json!([{ "name": "c", "image": "z" }]);
                object
            },
        ),
        (
            patched("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey(params.key), value: 'v'}]"),
            with("/metadata/labels", json!({ "app": "d", "a/b~c": "v" })),
        ),
        (
            patched(
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 1},
                  JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value:
                    Object.spec.template.spec.containers{name: 'c', env: [Object.spec.template.spec.containers.env{name: 'E'}]}},
                  JSONPatch{op: 'move', from: '/spec/replicas', path: '/spec/minReadySeconds'}]",
            ),
            {
                let mut object = with(
                    containers,
                    json!([
                        { "name": "a", "image": "x" },
                        { "name": "b", "image": "y" },
                        { "name": "c", "env": [{ "name": "E" }] },
                    ]),
                );
                let spec = object["spec"].as_object_mut().unwrap();
                let replicas = spec.remove("replicas").unwrap();
                spec.insert("minReadySeconds".to_owned(), replicas);
                object
            },
        ),
        // What is tested does not hold, so there is nothing to do.
        (
            patched(
                "[JSONPatch{op: 'test', path: '/spec/paused', value: true}, JSONPatch{op: 'remove', path: '/spec/replicas'}]",
            ),
            deployment(),
        ),
        (
            patched("object.spec.replicas > 1 ? [JSONPatch{op: 'remove', path: '/spec/replicas'}] : []"),
            deployment(),
        ),
        // Each mutation sees what those before it made.
        (
            json!([
                { "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": "Object{spec: Object.spec{replicas: variables.n}}" } },
                { "patchType": "JSONPatch", "jsonPatch": { "expression": "[JSONPatch{op: 'replace', path: '/spec/replicas', value: variables.n}]" } },
            ]),
            with("/spec/replicas", json!(3)),
        ),
    ];
    for (mutations, expected) in rows {
        assert_eq!(made(&mutations), Ok(expected), "{mutations}");
    }
}

#[test]
fn mutations_that_cannot_be_made_say_why() {
    let rows = [
        (
            applied("Object{spec: Object.spec{nothing: 1}}"),
            "error applying patch: failed to convert patch object to typed object: .spec.nothing: field not declared in schema",
        ),
        (
            applied("Object{spec: Object.spec{replicas: 'many'}}"),
            "error applying patch: failed to convert patch object to typed object: .spec.replicas: expected numeric (int or float), got string",
        ),
        (
            applied("Object{spec: Object.metadata{}}"),
            "type mismatch: unexpected type name \"Object.metadata\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
        (
            applied(
                "Object{spec: Object.spec{selector: Object.spec.selector{}, template: Object.spec.template{
                    spec: Object.spec.template.spec{containers: [
                        Object.spec.template.spec.containers{name: 'a', args: ['x']}]}}}}",
            ),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector, .spec.template.spec.containers[0].args",
        ),
        (
            applied("object"),
            "type mismatch: ApplyConfiguration.expression should evaluate to Object",
        ),
        (
            applied("Object{spec: Object.spec{replicas: object.spec.nothing}}"),
            "expression 'Object{spec: Object.spec{replicas: object.spec.nothing}}' resulted in error: no such key: nothing",
        ),
        (
            applied("Foo{}"),
            "compilation failed: undeclared reference to 'Foo' (in container '')",
        ),
        (
            patched("JSONPatch{op: 'remove', path: '/spec'}"),
            "type mismatch: JSONPatch.expression should evaluate to array",
        ),
        (
            patched("[{}]"),
            "type mismatch: JSONPatch.expression should evaluate to array of JSONPatch",
        ),
        (
            patched("[JSONPatch{op: 'remove', path: '/nothing/here'}]"),
            "JSONPatch: operation '/0' failed at path '/nothing/here': path is invalid",
        ),
    ];
    for (mutations, expected) in rows {
        assert_eq!(made(&mutations), Err(expected.to_owned()), "{mutations}");
    }
}
