//! What fuzzing starts from: each target writes its inputs before it reads any.

use std::{env, fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{bytes_field, kind_of, objects};

/// Names the folder that is filled; without it nothing is written.
const VARIABLE: &str = "FUZZ_SEEDS";

const LABEL_SELECTORS: &[&str] = &[
    "app=web",
    "app==web,tier!=db",
    "app in (web, api),!tier",
    "app notin (),tier",
    "example.com/n>1,example.com/n<9",
    r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"In","values":["a","b"]}]}"#,
];
const FIELD_SELECTORS: &[&str] = &[
    "metadata.name=a",
    "spec.nodeName!=n,status.phase=Running",
    r"metadata.name=a\,b\=c\\d",
];

/// Writes the seeds of a target.
///
/// # Panics
/// When they cannot be written.
pub fn write(target: &str) {
    let Some(folder) = env::var_os(VARIABLE).map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).expect("make the folder of seeds");
    for (at, seed) in of(target).into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{at}")), seed).expect("write a seed");
    }
}

fn of(target: &str) -> Vec<Vec<u8>> {
    let kinds = objects().iter().map(|object| {
        let (number, _) = kind_of(object).unwrap_or_else(|| panic!("of no kind: {object}"));
        (number.to_le_bytes(), object)
    });
    match target {
        "json" | "apply" => kinds
            .map(|(number, object)| [&number, object.to_string().as_bytes()].concat())
            .collect(),
        "yaml" => kinds
            .map(|(number, object)| {
                let text = serde_yaml_ng::to_string(object).expect("an object is YAML");
                [&number, text.as_bytes()].concat()
            })
            .collect(),
        "patch" => kinds
            .flat_map(|(number, object)| {
                let patches = patches(object).into_iter().zip([0, 1, 2].into_iter().cycle());
                patches.map(move |(patch, sort)| [&number[..], &[sort], patch.as_bytes()].concat())
            })
            .collect(),
        "protobuf" => (0..api::resource::resources().len())
            .map(|number| {
                let number = u16::try_from(number).expect("kinds are few").to_le_bytes();
                [&number[..], &message()].concat()
            })
            .collect(),
        _ => {
            let texts = LABEL_SELECTORS.iter().chain(FIELD_SELECTORS);
            texts.map(|text| text.as_bytes().to_vec()).collect()
        }
    }
}

/// Metadata with a name, a namespace and a label; a spec with a text.
fn message() -> Vec<u8> {
    let label = [bytes_field(1, b"app"), bytes_field(2, b"web")].concat();
    let metadata = [
        bytes_field(1, b"a"),
        bytes_field(3, b"default"),
        bytes_field(11, &label),
    ]
    .concat();
    [bytes_field(1, &metadata), bytes_field(2, &bytes_field(1, b"a"))].concat()
}

/// One patch of each sort, and a second strategic one: what the object has is taken out and put in.
fn patches(object: &Value) -> [String; 6] {
    let operations = json!([
        { "op": "test", "path": "/kind", "value": object["kind"] },
        { "op": "add", "path": "/metadata/labels", "value": { "a": "b" } },
        { "op": "copy", "from": "/metadata/labels", "path": "/metadata/annotations" },
        { "op": "move", "from": "/metadata/annotations/a", "path": "/metadata/labels/c" },
        { "op": "remove", "path": "/metadata/labels/a" },
    ]);
    let merge = json!({ "metadata": { "labels": { "a": "b", "app": null } }, "spec": object["spec"] });
    let strategic = json!({
        "metadata": { "labels": { "$patch": "replace", "a": "b" }, "$deleteFromPrimitiveList/finalizers": ["a"] },
        "spec": {
            "template": { "spec": {
                "$setElementOrder/containers": [{ "name": "b" }, { "name": "web" }],
                "containers": [{ "name": "web", "$patch": "delete" }, { "name": "b", "image": "b" }],
                "$retainKeys": ["containers"],
            } },
            "ports": [{ "port": 80, "protocol": "TCP", "name": "http" }],
        },
    });
    [
        operations.to_string(),
        merge.to_string(),
        strategic.to_string(),
        json!([{ "op": "replace", "path": "", "value": object }]).to_string(),
        json!({ "metadata": null, "spec": null, "data": { "a": "b" } }).to_string(),
        object.to_string(),
    ]
}
