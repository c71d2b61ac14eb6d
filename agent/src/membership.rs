//! The node's certificate for as long as the agent runs: renewed at two thirds of its life, over the node stream's
//! connection, without ending it.
//!
//! A connection keeps the certificate that it was made with; the next one is made with the newest. Every renewal has a
//! key of its own. Never here: when (`reconcile::renewal`), and how a node becomes a member (`join`).

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use api::{
    Timestamp,
    node_stream::{RenewRequest, node_stream_client::NodeStreamClient},
};
use parking_lot::Mutex;
use rcgen::KeyPair;
use reconcile::renewal;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::{
    dial::Credentials,
    durable,
    join::{Identity, Unusable, signing_request},
};

/// The clock is looked at this often, since it may be set while a timer runs.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Who the node is, and stays.
pub struct Membership {
    node_name: String,
    /// Where the identity is kept.
    path: PathBuf,
    identity: Mutex<Identity>,
}

/// The certificate could not be renewed; the old one stays.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("make a key")]
    Key(#[source] rcgen::Error),
    #[error("the server refused: {}", .0.message())]
    Refused(#[source] tonic::Status),
    #[error("the server sent a certificate that cannot be used")]
    BadCertificate(#[source] Unusable),
    #[error("the server sent another authority than the cluster's")]
    BadAuthority,
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Membership {
    /// Of this node, whose identity is kept in this file.
    #[must_use]
    pub fn new(node_name: &str, path: PathBuf, identity: Identity) -> Membership {
        Membership {
            node_name: node_name.to_owned(),
            path,
            identity: Mutex::new(identity),
        }
    }

    /// For the next connection.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.identity.lock().credentials()
    }

    /// Renews the certificate whenever that is due, over this connection.
    pub async fn keep(&self, mut client: NodeStreamClient<Channel>) -> Infallible {
        loop {
            let (begin, end) = self.identity.lock().life();
            let left = renewal::renew_at(begin, end).duration_since(Timestamp::now());
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_EVERY)).await,
                _ => {
                    if let Err(error) = self.renew(&mut client).await {
                        let retry_in = renewal::retry_in(Timestamp::now(), end);
                        warn!(
                            error = &error as &dyn std::error::Error,
                            retry_in_ms = retry_in.as_millis(),
                            "the node's certificate was not renewed"
                        );
                        tokio::time::sleep(retry_in).await;
                    }
                }
            }
        }
    }

    async fn renew(&self, client: &mut NodeStreamClient<Channel>) -> Result<(), RenewError> {
        let key = KeyPair::generate().map_err(RenewError::Key)?;
        let request = RenewRequest {
            csr_der: signing_request(&key).map_err(RenewError::Key)?,
        };
        let answer = client.renew(request).await.map_err(RenewError::Refused)?.into_inner();
        let pem = Identity::pem(&key, &answer);
        let renewed = Identity::from_pem(&pem)
            .and_then(|identity| identity.check(&self.node_name, SystemTime::now()).map(|()| identity))
            .map_err(RenewError::BadCertificate)?;
        if renewed.authority_fingerprint() != self.identity.lock().authority_fingerprint() {
            return Err(RenewError::BadAuthority);
        }
        durable::replace(&self.path, &pem, durable::Sync::Yes).map_err(|source| RenewError::Write {
            path: self.path.clone(),
            source,
        })?;
        let (_, end) = renewed.life();
        *self.identity.lock() = renewed;
        info!(until = %end, "the node's certificate was renewed");
        Ok(())
    }
}
