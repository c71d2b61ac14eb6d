//! A container's environment and command line.
//!
//! Never here: the image's own variables (the caller puts them first); reading anything but what is passed in.
//! Source: Kubernetes documentation, "Define Environment Variables", "Define Dependent Environment Variables",
//! "Accessing the Service" (service variables).

use std::{collections::BTreeMap, net::IpAddr};

use api::{
    k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod},
    net_state::ip_from_bytes,
    node_stream::{Protocol, Service},
};

use super::{
    fields::{FieldError, PodFacts, field, resource_field},
    objects::Objects,
};

/// The namespace and name of the API server's own service: every container learns its address.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");

/// A variable cannot be resolved; the container waits until it can.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EnvError {
    #[error("configmap \"{0}\" not found")]
    ConfigMap(String),
    #[error("secret \"{0}\" not found")]
    Secret(String),
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey {
        key: String,
        namespace: String,
        name: String,
    },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey {
        key: String,
        namespace: String,
        name: String,
    },
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// What variables are resolved from.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) facts: &'a PodFacts,
    pub(crate) objects: &'a Objects,
    /// Services of the pod's namespace.
    pub(crate) services: &'a [Service],
    /// Services of the namespace `default`, for the API server's.
    pub(crate) default_services: &'a [Service],
}

/// The variables that the pod gives a container, in order; a later one of the same name has replaced the earlier.
pub(crate) fn environment(sources: &Sources<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut services = BTreeMap::new();
    for service in sources.default_services {
        if (service.namespace.as_str(), service.name.as_str()) == API_SERVICE {
            service_variables(service, &mut services);
        }
    }
    let spec = sources.pod.spec.as_ref();
    if spec.and_then(|spec| spec.enable_service_links).unwrap_or(true) {
        for service in sources.services {
            service_variables(service, &mut services);
        }
    }
    let mut result = Ordered::default();
    from_objects(sources, &mut result)?;
    for variable in sources.container.env.iter().flatten() {
        let value = match (&variable.value_from, &variable.value) {
            (Some(source), _) => match from_source(sources, source)? {
                Some(value) => value,
                None => continue,
            },
            (None, Some(text)) => expand(text, |name| {
                result
                    .get(name)
                    .or_else(|| services.get(name).map(String::as_str))
                    .map(str::to_owned)
            }),
            (None, None) => String::new(),
        };
        result.set(&variable.name, value);
    }
    for (name, value) in services {
        if result.get(&name).is_none() {
            result.set(&name, value);
        }
    }
    Ok(result.0)
}

/// Replaces `$(NAME)` where the name is known; `$$` stands for `$`.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => expanded.push_str(&value),
                None => {
                    expanded.push_str("$(");
                    expanded.push_str(name);
                    expanded.push(')');
                }
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

fn from_objects(sources: &Sources<'_>, result: &mut Ordered) -> Result<(), EnvError> {
    let namespace = sources.pod.metadata.namespace.as_deref().unwrap_or_default();
    for source in sources.container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut take = |key: &str, value: String| {
            let name = format!("{prefix}{key}");
            // What cannot be a variable's name is passed over.
            if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=') {
                result.set(&name, value);
            }
        };
        if let Some(reference) = &source.config_map_ref {
            match sources.objects.config_map(namespace, &reference.name) {
                Some(object) => {
                    for (key, value) in object.data.iter().flatten() {
                        take(key, value.clone());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::ConfigMap(reference.name.clone())),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match sources.objects.secret(namespace, &reference.name) {
                Some(object) => {
                    for (key, value) in object.data.iter().flatten() {
                        take(key, String::from_utf8_lossy(&value.0).into_owned());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::Secret(reference.name.clone())),
            }
        }
    }
    Ok(())
}

/// Nothing for an optional source that is not there.
fn from_source(sources: &Sources<'_>, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
    let namespace = sources.pod.metadata.namespace.clone().unwrap_or_default();
    if let Some(reference) = &source.field_ref {
        return Ok(Some(field(sources.pod, sources.facts, &reference.field_path)?));
    }
    if let Some(reference) = &source.resource_field_ref {
        let value = resource_field(sources.pod, sources.facts, Some(sources.container), reference)?;
        return Ok(Some(value));
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(object) = sources.objects.config_map(&namespace, &reference.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(EnvError::ConfigMap(reference.name.clone()))
            };
        };
        return match object.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(EnvError::ConfigMapKey {
                key: reference.key.clone(),
                namespace,
                name: reference.name.clone(),
            }),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(object) = sources.objects.secret(&namespace, &reference.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(EnvError::Secret(reference.name.clone()))
            };
        };
        return match object.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(EnvError::SecretKey {
                key: reference.key.clone(),
                namespace,
                name: reference.name.clone(),
            }),
        };
    }
    Ok(Some(String::new()))
}

/// `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP_ADDR`, …
fn service_variables(service: &Service, into: &mut BTreeMap<String, String>) {
    let Some(Ok(ip)) = service.cluster_ips.first().map(|ip| ip_from_bytes(ip)) else {
        return;
    };
    let Some(first) = service.ports.first() else { return };
    let name = variable_name(&service.name);
    let host = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    into.insert(format!("{name}_SERVICE_HOST"), ip.to_string());
    into.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
    for port in &service.ports {
        if !port.name.is_empty() {
            let key = format!("{name}_SERVICE_PORT_{}", variable_name(&port.name));
            into.insert(key, port.port.to_string());
        }
    }
    for (number, port) in service.ports.iter().enumerate() {
        let protocol = match Protocol::try_from(port.protocol) {
            Ok(Protocol::Udp) => "udp",
            Ok(Protocol::Sctp) => "sctp",
            Ok(Protocol::Tcp) | Err(_) => "tcp",
        };
        let url = format!("{protocol}://{host}:{}", port.port);
        if number == 0 {
            into.insert(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        into.insert(format!("{prefix}_PROTO"), protocol.to_owned());
        into.insert(format!("{prefix}_PORT"), port.port.to_string());
        into.insert(format!("{prefix}_ADDR"), ip.to_string());
        into.insert(prefix, url);
    }
}

fn variable_name(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// Variables in the order they were first set.
#[derive(Debug, Default)]
struct Ordered(Vec<(String, String)>);

impl Ordered {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

#[cfg(test)]
mod tests;
