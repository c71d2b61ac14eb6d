//! What a path asks for.
//!
//! Pure. Never here: what the request does there.
//! Source: Kubernetes API Concepts, "Resource URIs".

use api::resource::{Kinds, Resource};

/// The part of the server that a path addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`
    Root,
    /// `/version`
    Version,
    /// `/metrics`
    Metrics,
    /// `/healthz`, `/livez`, `/readyz` and their parts.
    Health {
        /// Which of the three.
        check: String,
        /// Below it; empty for all.
        part: String,
    },
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Resources {
        /// Empty for the core group.
        group: String,
        /// For example `v1`.
        version: String,
    },
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/PATH`
    OpenApiDocument(String),
    /// `/.well-known/openid-configuration`
    OpenIdConfiguration,
    /// `/openid/v1/jwks`
    OpenIdKeys,
    /// `/skep/v1/nodes/NODE/net/WHAT`
    NodeNet {
        /// The node.
        node: String,
        /// Which maps.
        what: String,
    },
    /// Objects.
    Objects(ObjectPath),
}

/// A collection, an object or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ObjectPath {
    /// Empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// Empty: of cluster scope, or of all namespaces.
    pub namespace: String,
    /// Plural resource name.
    pub plural: String,
    /// Empty for the collection.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

impl ObjectPath {
    /// The row of the kind, if it is served.
    pub(super) fn resource(&self, kinds: &Kinds) -> Option<&'static Resource> {
        kinds.by_path(&self.group, &self.version, &self.plural)
    }
}

/// The route of a path, decoded; `None` if there is none. Trailing slashes do not matter.
#[must_use]
pub(super) fn parse(path: &str) -> Option<Route> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(percent_decode)
        .collect::<Option<_>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match segments.as_slice() {
        [] => Route::Root,
        ["version"] => Route::Version,
        ["metrics"] => Route::Metrics,
        [check @ ("healthz" | "livez" | "readyz"), rest @ ..] => Route::Health {
            check: (*check).to_owned(),
            part: rest.join("/"),
        },
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => Route::Resources {
            group: String::new(),
            version: (*version).to_owned(),
        },
        ["apis", group, version] => Route::Resources {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
        },
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiIndex,
        ["openapi", "v3", rest @ ..] => Route::OpenApiDocument(rest.join("/")),
        [".well-known", "openid-configuration"] => Route::OpenIdConfiguration,
        ["openid", "v1", "jwks"] => Route::OpenIdKeys,
        ["skep", "v1", "nodes", node, "net", what] => Route::NodeNet {
            node: (*node).to_owned(),
            what: (*what).to_owned(),
        },
        ["api", version, rest @ ..] => Route::Objects(objects("", version, rest)?),
        ["apis", group, version, rest @ ..] => Route::Objects(objects(group, version, rest)?),
        _ => return None,
    })
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Option<ObjectPath> {
    let (namespace, rest) = match rest {
        // `namespaces/NAME` alone, or with a subresource of its own, is about the namespace itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", String::new()),
        [plural, name] => (*plural, *name, String::new()),
        [plural, name, subresource @ ..] => (*plural, *name, subresource.join("/")),
        [] => return None,
    };
    Some(ObjectPath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource,
    })
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
