//! The config maps and secrets that this node's pods name, and the tokens of their service accounts, as last received.
//!
//! Never here: deciding who may see them; the control plane sends a node only what its pods name.

use std::{collections::HashMap, sync::Arc};

use api::k8s_openapi::api::core::v1::{ConfigMap, Secret};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::tokens::{Answer, TokenKey};

type Name = (String, String);

/// Shared by the workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    inner: Arc<RwLock<Maps>>,
    /// Something was said of a token.
    token_said: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Maps {
    config_maps: HashMap<Name, Arc<ConfigMap>>,
    secrets: HashMap<Name, Arc<Secret>>,
    tokens: HashMap<TokenKey, Answer>,
}

impl Objects {
    pub(crate) fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        let maps = self.inner.read();
        maps.config_maps.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        let maps = self.inner.read();
        maps.secrets.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn put_config_map(&self, object: ConfigMap) {
        let name = name_of(&object.metadata);
        self.inner.write().config_maps.insert(name, Arc::new(object));
    }

    pub(crate) fn put_secret(&self, object: Secret) {
        let name = name_of(&object.metadata);
        self.inner.write().secrets.insert(name, Arc::new(object));
    }

    pub(crate) fn remove_config_map(&self, namespace: &str, name: &str) {
        let name = (namespace.to_owned(), name.to_owned());
        self.inner.write().config_maps.remove(&name);
    }

    pub(crate) fn remove_secret(&self, namespace: &str, name: &str) {
        let name = (namespace.to_owned(), name.to_owned());
        self.inner.write().secrets.remove(&name);
    }

    /// Forgets everything that `kept` (a snapshot) does not have.
    pub(crate) fn replace(&self, kept: Objects) {
        let kept = std::mem::take(&mut *kept.inner.write());
        let mut maps = self.inner.write();
        maps.config_maps = kept.config_maps;
        maps.secrets = kept.secrets;
    }

    /// What was last said of a token.
    pub(crate) fn token(&self, key: &TokenKey) -> Option<Answer> {
        self.inner.read().tokens.get(key).cloned()
    }

    pub(crate) fn put_token(&self, key: TokenKey, answer: Answer) {
        self.inner.write().tokens.insert(key, answer);
        self.token_said.notify_waiters();
    }

    /// Resolves when something is said of a token after this call.
    pub(crate) fn token_said(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut said = Box::pin(self.token_said.clone().notified_owned());
        said.as_mut().enable();
        said
    }

    /// A refusal is not kept: who asks again wants another answer.
    pub(crate) fn forget_refusal(&self, key: &TokenKey) {
        let mut maps = self.inner.write();
        if matches!(maps.tokens.get(key), Some(Answer::Refused(_))) {
            maps.tokens.remove(key);
        }
    }

    /// The pod is gone.
    pub(crate) fn forget_tokens(&self, pod_uid: &str) {
        self.inner.write().tokens.retain(|key, _| key.pod_uid != pod_uid);
    }
}

fn name_of(metadata: &api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Name {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}
