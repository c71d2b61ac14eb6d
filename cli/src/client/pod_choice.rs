//! Which pod, and which of its containers, a command is about: `POD`, or `TYPE/NAME` of what has pods.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Connection, discovery::Discovery, object, targets};

/// How often is looked for a pod that there is not yet.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The annotation that names the container meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// An object that has pods, and those of them that there are, oldest first.
pub(crate) struct Choice {
    /// The object; a pod is its own.
    pub(crate) owner: Value,
    pub(crate) pods: Vec<Value>,
}

/// The pods of `word`: `NAME`, `pod/NAME`, `TYPE/NAME`.
pub(crate) async fn pods(connection: &Connection, word: &str) -> anyhow::Result<Choice> {
    let pods = format!("/api/v1/namespaces/{}/pods", object::encoded(connection.namespace()));
    let one = async |name: &str| -> anyhow::Result<Choice> {
        let pod = connection
            .get_json(&format!("{pods}/{}", object::encoded(name)))
            .await?;
        let owner = pod.clone();
        Ok(Choice { owner, pods: vec![pod] })
    };
    let Some((kind, name)) = word.split_once('/') else {
        return one(word).await;
    };
    let discovery = Discovery::load(connection).await?;
    let (resource, _) = targets::parse_one(&discovery, &[word.to_owned()])?;
    if resource.kind == "Pod" {
        return one(name).await;
    }
    let path = object::object_path(resource, connection.namespace(), name);
    let owner = connection.get_json(&path).await?;
    let selector = selector(&owner["spec"]["selector"]);
    if selector.is_empty() {
        bail!("a {kind} has no pods of its own");
    }
    let mut found = list(connection, &selector).await?;
    found.sort_by_key(|pod| object::text(&pod["metadata"]["creationTimestamp"]));
    Ok(Choice { owner, pods: found })
}

/// The pod of `word` that a connection is best made to: ready before running before others. Waits for there to be one.
pub(crate) async fn attachable(connection: &Connection, word: &str, within: Duration) -> anyhow::Result<Choice> {
    let deadline = Instant::now() + within;
    loop {
        let mut choice = pods(connection, word).await?;
        choice.pods.sort_by_key(|pod| std::cmp::Reverse(standing(pod)));
        if !choice.pods.is_empty() {
            choice.pods.truncate(1);
            return Ok(choice);
        }
        if Instant::now() >= deadline {
            bail!("timed out waiting for {word} to have a pod");
        }
        sleep(LOOK_AGAIN).await;
    }
}

impl Choice {
    /// The first pod.
    pub(crate) fn pod(&self) -> anyhow::Result<&Value> {
        self.pods.first().context("there is no pod")
    }
}

/// The pods of these labels.
pub(crate) async fn list(connection: &Connection, selector: &str) -> anyhow::Result<Vec<Value>> {
    let pods = format!("/api/v1/namespaces/{}/pods", object::encoded(connection.namespace()));
    let query = object::query(&[("labelSelector", selector.to_owned())]);
    Ok(object::items(&connection.get_json(&format!("{pods}{query}")).await?["items"]).to_vec())
}

/// How good a pod is to connect to: more is better.
fn standing(pod: &Value) -> (bool, bool, bool) {
    let is_ready = object::items(&pod["status"]["conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let stays = pod["metadata"]["deletionTimestamp"].is_null();
    (stays, is_ready, pod["status"]["phase"] == "Running")
}

/// A selector of an object as one of a request: of labels, or of labels and expressions.
fn selector(selector: &Value) -> String {
    let is_plain = selector["matchLabels"].is_null() && selector["matchExpressions"].is_null();
    let labels = if is_plain { selector } else { &selector["matchLabels"] };
    let expression = |expression: &Value| {
        let key = object::text(&expression["key"]);
        let values: Vec<String> = object::items(&expression["values"]).iter().map(object::text).collect();
        match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key,
        }
    };
    let mut parts = object::pairs(labels);
    if !is_plain {
        parts.extend(object::items(&selector["matchExpressions"]).iter().map(expression));
    }
    parts.join(",")
}

/// The containers of a pod, by what they are.
pub(crate) struct Containers {
    pub(crate) regular: Vec<String>,
    pub(crate) init: Vec<String>,
    pub(crate) ephemeral: Vec<String>,
}

impl Containers {
    pub(crate) fn of(pod: &Value) -> Containers {
        let of = |list: &str| {
            let containers = object::items(&pod["spec"][list]).iter();
            containers.map(|container| object::text(&container["name"])).collect()
        };
        Containers {
            regular: of("containers"),
            init: of("initContainers"),
            ephemeral: of("ephemeralContainers"),
        }
    }

    /// All of them, in the order in which they are listed to people.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.regular.iter().chain(&self.ephemeral).chain(&self.init)
    }

    fn described(&self) -> String {
        let marked =
            |names: &[String], mark: &str| names.iter().map(|name| format!("{name}{mark}")).collect::<Vec<_>>();
        let parts = [
            marked(&self.regular, ""),
            marked(&self.ephemeral, " (ephem)"),
            marked(&self.init, " (init)"),
        ];
        parts.concat().join(", ")
    }
}

/// The container that is asked for, the one that the pod's annotation names, or the first; what was chosen is said
/// unless `quiet`.
pub(crate) fn container(pod: &Value, asked: Option<&str>, quiet: bool) -> anyhow::Result<String> {
    let (name, containers) = (object::name(pod), Containers::of(pod));
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        if !containers.all().any(|known| known == asked) {
            bail!(
                "container {asked} is not valid for pod {name} out of: {}",
                containers.described()
            );
        }
        return Ok(asked.to_owned());
    }
    let annotated = object::text(&pod["metadata"]["annotations"][DEFAULT_CONTAINER]);
    if containers.all().any(|known| *known == annotated) {
        return Ok(annotated);
    }
    let first = containers.regular.first();
    let first = first.with_context(|| format!("pod {name} has no containers"))?;
    if !quiet && containers.all().nth(1).is_some() {
        eprintln!("Defaulted container {first:?} out of: {}", containers.described());
    }
    Ok(first.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_of_objects_are_written_as_requests_have_them() {
        for (of_object, expected) in [
            (json!({"app": "web"}), "app=web"),
            (json!({"matchLabels": {"app": "web"}}), "app=web"),
            (
                json!({"matchLabels": {"a": "b"}, "matchExpressions": [
                    {"key": "c", "operator": "In", "values": ["d", "e"]},
                    {"key": "f", "operator": "NotIn", "values": ["g"]},
                    {"key": "h", "operator": "Exists"}, {"key": "i", "operator": "DoesNotExist"}]}),
                "a=b,c in (d,e),f notin (g),h,!i",
            ),
            (Value::Null, ""),
        ] {
            assert_eq!(selector(&of_object), expected, "{of_object}");
        }
    }

    #[test]
    fn containers_are_chosen() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}});
        for (asked, expected) in [
            (None, Some("a")),
            (Some("b"), Some("b")),
            (Some("i"), Some("i")),
            (Some("e"), Some("e")),
            (Some("x"), None),
        ] {
            assert_eq!(container(&pod, asked, true).ok().as_deref(), expected, "{asked:?}");
        }
        let refused = container(&pod, Some("x"), true).expect_err("there is none").to_string();
        assert_eq!(
            refused,
            "container x is not valid for pod p out of: a, b, e (ephem), i (init)"
        );
        pod["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "b"});
        assert_eq!(container(&pod, None, true).expect("annotated"), "b");
    }
}
