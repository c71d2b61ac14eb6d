//! The paths of a document: what can be done with each kind.

use serde_json::{Map, Value, json};

use crate::resource::{Resource, Subresource};

pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Name, type and meaning of a query parameter.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "With the value All the request is processed, but nothing is stored.",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "Name of the actor that makes the change: at most 128 printable characters.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: Ignore drops them, Warn drops them with a warning, Strict refuses \
     the request. Defaults to Warn.",
);
const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Asks for BOOKMARK events in a watch."),
    ("continue", "string", "Where to continue a list that was limited."),
    ("fieldSelector", "string", "Restricts the list by the objects' fields."),
    ("labelSelector", "string", "Restricts the list by the objects' labels."),
    ("limit", "integer", "Most items in one answer."),
    (
        "resourceVersion",
        "string",
        "Version that the answer is to have, see resourceVersionMatch.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant: Exact or NotOlderThan.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "Starts a watch with the objects as they are, then a bookmark.",
    ),
    ("timeoutSeconds", "integer", "How long a watch lasts at most."),
    (
        "watch",
        "boolean",
        "Answers with a stream of changes instead of a list.",
    ),
];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    (
        "gracePeriodSeconds",
        "integer",
        "Seconds before the object is deleted; zero means at once.",
    ),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    (
        "propagationPolicy",
        "string",
        "What happens to dependents: Orphan, Background or Foreground.",
    ),
];

/// Name of the type of a list of the kind.
pub(super) fn list_definition(row: &Resource) -> String {
    format!("{}List", row.definition)
}

/// Adds the paths of a kind and of its subresources.
pub(super) fn add_paths(row: &Resource, paths: &mut Map<String, Value>) {
    let base = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    let scope = if row.is_namespaced() {
        Reach::Namespaced
    } else {
        Reach::Cluster
    };
    let mut add = |path: String, target: Target<'_>, reach: Reach| {
        if let Some(item) = path_item(row, target, reach) {
            paths.insert(path, item);
        }
    };
    let collection = if row.is_namespaced() {
        if row.is_kept {
            add(
                format!("{base}/{}", row.plural),
                Target::Collection,
                Reach::AllNamespaces,
            );
        }
        format!("{base}/namespaces/{{namespace}}/{}", row.plural)
    } else {
        format!("{base}/{}", row.plural)
    };
    if !row.is_kept {
        add(collection, Target::Collection, scope);
        return;
    }
    let object = format!("{collection}/{{name}}");
    for sub in row.subresources {
        add(format!("{object}/{}", sub.name), Target::Subresource(sub), scope);
    }
    add(collection, Target::Collection, scope);
    add(object, Target::Object, scope);
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Collection,
    Object,
    Subresource(&'a Subresource),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Cluster,
    Namespaced,
    AllNamespaces,
}

/// What can be done at a path; `None` if nothing can.
fn path_item(row: &Resource, target: Target<'_>, reach: Reach) -> Option<Value> {
    let verbs: &[(&str, &str)] = match (target, reach) {
        (Target::Collection, Reach::AllNamespaces) => &[("list", "get")],
        (Target::Collection, Reach::Cluster | Reach::Namespaced) => {
            &[("list", "get"), ("create", "post"), ("deletecollection", "delete")]
        }
        (Target::Object, _) => &[
            ("get", "get"),
            ("update", "put"),
            ("patch", "patch"),
            ("delete", "delete"),
        ],
        (Target::Subresource(_), _) => &[
            ("get", "get"),
            ("create", "post"),
            ("update", "put"),
            ("patch", "patch"),
            ("delete", "delete"),
        ],
    };
    let served = match target {
        Target::Collection | Target::Object => row.verbs,
        Target::Subresource(sub) => sub.verbs,
    };
    let mut item = Map::new();
    for (verb, method) in verbs {
        if served.contains(verb) {
            item.insert((*method).to_owned(), operation(row, target, reach, verb));
        }
    }
    if item.is_empty() {
        return None;
    }
    let mut parameters = Vec::new();
    if !matches!(target, Target::Collection) {
        parameters.push(path_parameter("name", &format!("name of the {}", row.kind)));
    }
    if reach == Reach::Namespaced {
        let text = "object name and auth scope, such as for teams and projects";
        parameters.push(path_parameter("namespace", text));
    }
    parameters.push(query_parameter(&(
        "pretty",
        "string",
        "With the value true the answer is indented.",
    )));
    item.insert("parameters".to_owned(), Value::Array(parameters));
    Some(Value::Object(item))
}

/// A path at which a connection becomes a stream: what is wanted stands in the query.
fn connect(row: &Resource, sub: &Subresource, verb: &str) -> Value {
    let method = match verb {
        "create" => "Post",
        "update" => "Put",
        "patch" => "Patch",
        "delete" => "Delete",
        _ => "Get",
    };
    let parameters: Vec<Value> = stream_parameters(sub.name).iter().map(query_parameter).collect();
    json!({
        "tags": [tag(row)],
        "description": format!("connect {} requests to {} of {}", method.to_uppercase(), sub.name, row.kind),
        "operationId": format!(
            "connect{}{}{method}Namespaced{}{}",
            capital(group_stem(row)), capital(row.version), row.kind, capital(sub.name)
        ),
        "parameters": parameters,
        "responses": {
            "200": { "description": "OK", "content": { "*/*": { "schema": { "type": "string" } } } },
            "401": { "description": "Unauthorized" },
        },
        "x-kubernetes-action": "connect",
        "x-kubernetes-group-version-kind": { "group": sub.group, "version": sub.version, "kind": sub.kind },
    })
}

fn stream_parameters(name: &str) -> &'static [Parameter] {
    const COMMAND: Parameter = ("command", "string", "The program to run and its arguments, one each.");
    const CONTAINER: Parameter = (
        "container",
        "string",
        "The container; may be left out if there is only one.",
    );
    const STDIN: Parameter = ("stdin", "boolean", "Whether standard input is wanted.");
    const STDOUT: Parameter = ("stdout", "boolean", "Whether standard output is wanted.");
    const STDERR: Parameter = ("stderr", "boolean", "Whether standard error is wanted.");
    const TTY: Parameter = ("tty", "boolean", "Whether the streams are a terminal.");
    const PORTS: Parameter = (
        "ports",
        "integer",
        "The ports to reach; needed by older WebSocket clients only.",
    );
    const PATH: Parameter = ("path", "string", "Where the request goes behind the target's address.");
    match name {
        "exec" => &[COMMAND, CONTAINER, STDERR, STDIN, STDOUT, TTY],
        "attach" => &[CONTAINER, STDERR, STDIN, STDOUT, TTY],
        "portforward" => &[PORTS],
        "proxy" => &[PATH],
        _ => &[],
    }
}

fn operation(row: &Resource, target: Target<'_>, reach: Reach, verb: &str) -> Value {
    if let Target::Subresource(sub) = target
        && sub.is_stream()
    {
        return connect(row, sub, verb);
    }
    let (group, version, kind, definition) = match target {
        Target::Collection | Target::Object => (row.group, row.version, row.kind, row.definition),
        Target::Subresource(sub) => (sub.group, sub.version, sub.kind, sub.definition),
    };
    let (parameters, body, answer): (&[Parameter], Option<&str>, String) = match verb {
        "list" => (LIST, None, list_definition(row)),
        "create" | "update" => (WRITE, Some(definition), definition.to_owned()),
        "patch" => (WRITE, Some(PATCH), definition.to_owned()),
        "delete" | "deletecollection" => (DELETE, Some(DELETE_OPTIONS), STATUS.to_owned()),
        _ => (&[], None, definition.to_owned()),
    };
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let mut operation = json!({
        "tags": [tag(row)],
        "description": description(row, target, verb),
        "operationId": operation_id(row, target, reach, verb),
        "responses": {
            "200": { "description": "OK", "content": { "application/json": { "schema": reference(&answer) } } },
            "401": { "description": "Unauthorized" },
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind },
    });
    let mut parameters: Vec<Value> = parameters.iter().map(query_parameter).collect();
    if verb == "patch" {
        let force = (
            "force",
            "boolean",
            "Takes fields over from other managers when applying.",
        );
        parameters.push(query_parameter(&force));
    }
    if verb == "deletecollection" {
        let selectors = LIST.iter().filter(|(name, _, _)| name.ends_with("Selector"));
        parameters.extend(selectors.map(query_parameter));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = body {
        let schema = json!({ "schema": reference(body) });
        let content: Map<String, Value> = match verb {
            "patch" => PATCH_TYPES
                .iter()
                // Nobody says of a custom kind how its lists are merged.
                .filter(|media| row.custom.is_none() || !media.contains("strategic"))
                .map(|media| ((*media).to_owned(), schema.clone()))
                .collect(),
            _ => [("*/*".to_owned(), schema)].into_iter().collect(),
        };
        let required = matches!(verb, "create" | "update" | "patch");
        operation["requestBody"] = if required {
            json!({ "content": content, "required": true })
        } else {
            json!({ "content": content })
        };
    }
    operation
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{definition}") })
}

fn query_parameter((name, kind, description): &Parameter) -> Value {
    json!({
        "name": name,
        "in": "query",
        "description": description,
        "schema": { "type": kind, "uniqueItems": true },
    })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": { "type": "string", "uniqueItems": true },
    })
}

/// `core_v1`, `apps_v1`, `coordination_v1`
fn tag(row: &Resource) -> String {
    format!("{}_{}", group_stem(row), row.version)
}

fn group_stem(row: &Resource) -> &str {
    match row.group {
        "" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}

fn description(row: &Resource, target: Target<'_>, verb: &str) -> String {
    let kind = row.kind;
    match (target, verb) {
        (Target::Subresource(sub), "get") => format!("read {} of the specified {kind}", sub.name),
        (Target::Subresource(sub), "create") => format!("create {} of a {kind}", sub.name),
        (Target::Subresource(sub), "update") => format!("replace {} of the specified {kind}", sub.name),
        (Target::Subresource(sub), _) => format!("partially update {} of the specified {kind}", sub.name),
        (_, "list") => format!("list or watch objects of kind {kind}"),
        (_, "get") => format!("read the specified {kind}"),
        (_, "create") => format!("create a {kind}"),
        (_, "update") => format!("replace the specified {kind}"),
        (_, "patch") => format!("partially update the specified {kind}"),
        (_, "deletecollection") => format!("delete collection of {kind}"),
        (_, _) => format!("delete a {kind}"),
    }
}

/// For example `replaceAppsV1NamespacedDeploymentStatus`.
fn operation_id(row: &Resource, target: Target<'_>, reach: Reach, verb: &str) -> String {
    let verb = match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "deleteCollection",
        other => other,
    };
    let group = capital(group_stem(row));
    let version = capital(row.version);
    let kind = row.kind;
    let sub = match target {
        Target::Subresource(sub) => capital(sub.name),
        Target::Collection | Target::Object => String::new(),
    };
    match reach {
        Reach::Namespaced => format!("{verb}{group}{version}Namespaced{kind}{sub}"),
        Reach::Cluster => format!("{verb}{group}{version}{kind}{sub}"),
        Reach::AllNamespaces => format!("{verb}{group}{version}{kind}ForAllNamespaces"),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
