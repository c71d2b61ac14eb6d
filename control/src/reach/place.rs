//! Which pod and which port a name means: of a pod, or of a service, then one of its ready pods.
//!
//! Source: Kubernetes documentation, "Manually constructing apiserver proxy URLs".

use std::net::{IpAddr, SocketAddr};

use api::{
    Kind,
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
};
use rand::seq::IndexedRandom as _;
use serde_json::Value;

use crate::{
    driver::resource_of,
    engine::{ApiError, Engine, ListOptions, ListVersion, object},
};

/// The label that says which service an EndpointSlice is of.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// How a pod is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// `[SCHEME:]NAME[:PORT]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) name: &'a str,
    /// Empty if none is named.
    pub(crate) port: &'a str,
}

impl Target<'_> {
    /// Nothing if the name is none.
    pub(crate) fn parse(text: &str) -> Option<Target<'_>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Target { scheme, name, port })
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    pub(crate) address: SocketAddr,
    /// The pod that has the address. Who has none is reached from here, as the network allows.
    pub(crate) pod: Option<PlacedPod>,
}

/// A pod and its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedPod {
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// An address that a service leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Pod(String, u16),
    Address(SocketAddr),
}

impl Place {
    /// As a header names it.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    #[cfg(test)]
    pub(crate) fn example() -> Place {
        Place {
            scheme: Scheme::Http,
            address: SocketAddr::from(([10, 42, 0, 7], 8080)),
            pod: Some(PlacedPod {
                node: "n1".to_owned(),
                namespace: "default".to_owned(),
                name: "p".to_owned(),
                uid: "u".to_owned(),
            }),
        }
    }
}

/// Finds the pod, and the port.
pub(crate) async fn place(
    engine: &Engine,
    resource: &Resource,
    namespace: &str,
    target: Target<'_>,
) -> Result<Place, ApiError> {
    let object = engine.get(resource, namespace, target.name)?;
    if resource.plural == "pods" {
        let port = pod_port(&object, target)?;
        return of_pod(&object, target.scheme, port);
    }
    let none = || ApiError::Unreachable(format!("no endpoints available for service {:?}", target.name));
    let port = service_port(&object, target)?;
    let slices = slices(engine, namespace, target.name).await?;
    let endpoints = endpoints(&slices, &port);
    match endpoints.choose(&mut rand::rng()).ok_or_else(none)? {
        Endpoint::Pod(name, port) => {
            let pod = engine.get(resource_of(Kind::Pod), namespace, name)?;
            of_pod(&pod, target.scheme, *port)
        }
        Endpoint::Address(address) => Ok(Place {
            scheme: target.scheme,
            address: *address,
            pod: None,
        }),
    }
}

fn of_pod(pod: &Value, scheme: Scheme, port: u16) -> Result<Place, ApiError> {
    let name = object::meta_str(pod, "name");
    let ip = pod["status"]["podIP"].as_str().unwrap_or_default();
    let ip: IpAddr = ip
        .parse()
        .map_err(|_| ApiError::Unreachable(format!("pod {name} has no address yet")))?;
    Ok(Place {
        scheme,
        address: SocketAddr::new(ip, port),
        pod: Some(PlacedPod {
            node: pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned(),
            namespace: object::meta_str(pod, "namespace").to_owned(),
            name: name.to_owned(),
            uid: object::meta_str(pod, "uid").to_owned(),
        }),
    })
}

/// The port that is named, or the first that the pod says it has, or the scheme's.
fn pod_port(pod: &Value, target: Target<'_>) -> Result<u16, ApiError> {
    if !target.port.is_empty() {
        let port = target.port.parse().ok().filter(|port| *port > 0);
        return port.ok_or_else(|| ApiError::BadRequest(format!("invalid pod request: {:?} is no port", target.port)));
    }
    let containers = pod["spec"]["containers"].as_array();
    let first = containers
        .into_iter()
        .flatten()
        .find_map(|container| container["ports"][0]["containerPort"].as_u64());
    Ok(match (first.and_then(|port| u16::try_from(port).ok()), target.scheme) {
        (Some(port), _) => port,
        (None, Scheme::Http) => 80,
        (None, Scheme::Https) => 443,
    })
}

/// The name of the service's port, under which endpoints know it; empty for an only port without one.
fn service_port(service: &Value, target: Target<'_>) -> Result<String, ApiError> {
    let Ok(number) = target.port.parse::<u64>() else {
        return Ok(target.port.to_owned());
    };
    let ports = service["spec"]["ports"].as_array();
    let found = ports
        .into_iter()
        .flatten()
        .find(|port| port["port"].as_u64() == Some(number));
    match found {
        Some(port) => Ok(port["name"].as_str().unwrap_or_default().to_owned()),
        None => Err(ApiError::Unreachable(format!(
            "no service port {number} found for service {:?}",
            target.name
        ))),
    }
}

/// The EndpointSlices of a service.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn slices(engine: &Engine, namespace: &str, service: &str) -> Result<Vec<Value>, ApiError> {
    let labels = LabelSelector::parse(&format!("{SERVICE_NAME}={service}"));
    let options = ListOptions {
        namespace: namespace.to_owned(),
        labels: labels.map_err(|error| ApiError::BadRequest(error.to_string()))?,
        fields: FieldSelector::default(),
        limit: 0,
        continue_token: String::new(),
        version: ListVersion::Newest,
    };
    let page = engine.list(resource_of(Kind::EndpointSlice), &options).await?;
    page.items.iter().map(object::decode).collect()
}

/// Who is ready for a port of this name.
fn endpoints(slices: &[Value], port: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = slice["ports"].as_array().into_iter().flatten();
        let number = ports
            .filter(|known| known["name"].as_str().unwrap_or_default() == port)
            .find_map(|known| known["port"].as_u64().and_then(|number| u16::try_from(number).ok()));
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let is_ready = endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
            if !is_ready {
                continue;
            }
            let reference = &endpoint["targetRef"];
            let address = || endpoint["addresses"][0].as_str()?.parse().ok();
            match (reference["kind"].as_str(), reference["name"].as_str(), address()) {
                (Some("Pod"), Some(name), _) => found.push(Endpoint::Pod(name.to_owned(), number)),
                (None, _, Some(ip)) => found.push(Endpoint::Address(SocketAddr::new(ip, number))),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_read_with_scheme_and_port() {
        let target = |scheme, name, port| Some(Target { scheme, name, port });
        for (text, expected) in [
            ("p", target(Scheme::Http, "p", "")),
            ("p:80", target(Scheme::Http, "p", "80")),
            ("http:p:web", target(Scheme::Http, "p", "web")),
            ("https:p:443", target(Scheme::Https, "p", "443")),
            ("https:p:", target(Scheme::Https, "p", "")),
            (":p:80", target(Scheme::Http, "p", "80")),
            ("ftp:p:21", None),
            ("a:b:c:d", None),
            (":80", None),
        ] {
            assert_eq!(Target::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn ports_of_pods_and_services_are_found() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]}});
        let bare = json!({"spec": {"containers": [{"name": "a"}]}});
        for (pod, text, expected) in [
            (&pod, "p", Some(8080)),
            (&pod, "p:9", Some(9)),
            (&pod, "p:0", None),
            (&pod, "p:web", None),
            (&bare, "p", Some(80)),
            (&bare, "https:p:", Some(443)),
        ] {
            let target = Target::parse(text).expect("a target");
            assert_eq!(pod_port(pod, target).ok(), expected, "{text}");
        }
        let service = json!({"spec": {"ports": [{"name": "web", "port": 80}, {"name": "tls", "port": 443}]}});
        for (text, expected) in [
            ("s:80", Some("web")),
            ("s:tls", Some("tls")),
            ("s", Some("")),
            ("s:81", None),
        ] {
            let target = Target::parse(text).expect("a target");
            assert_eq!(service_port(&service, target).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_who_is_ready_and_has_the_port_is_asked() {
        let endpoint = |name: &str, ready: Value| json!({"conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": name}});
        let slice = json!({
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": [
                endpoint("a", json!(true)),
                endpoint("b", json!(false)),
                endpoint("c", json!(null)),
                {"addresses": ["192.0.2.7"]},
                {"addresses": ["192.0.2.8"], "conditions": {"ready": false}},
            ],
        });
        let expected = [
            Endpoint::Pod("a".to_owned(), 8080),
            Endpoint::Pod("c".to_owned(), 8080),
            Endpoint::Address(SocketAddr::from(([192, 0, 2, 7], 8080))),
        ];
        assert_eq!(endpoints(std::slice::from_ref(&slice), "web"), expected);
        assert_eq!(endpoints(&[slice], "other"), []);
    }
}
