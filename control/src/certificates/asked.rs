//! What a request of a certificate asks for: subject, names, key. Pure.
//!
//! Never here: whether it may have that (`signer`). Source: RFC 2986, RFC 5280.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

/// A request that its key has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Empty if there is none.
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) names: Vec<AlternativeName>,
    /// The whole subject, as it stands in the request.
    pub(crate) subject_der: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub(crate) public_key_der: Vec<u8>,
}

/// Another name of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AlternativeName {
    Dns(String),
    Ip(IpAddr),
    Email(String),
    Uri(String),
}

/// The request cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskedError {
    #[error("the request is not a PEM block of type CERTIFICATE REQUEST")]
    Envelope,
    #[error("the request is not a PKCS#10 certificate request")]
    Malformed,
    #[error("the request was not signed with the key that it is for")]
    Signature,
    /// One of several would have to be chosen, and who reads the certificate may choose another.
    #[error("the subject has more than one common name")]
    CommonNames,
    #[error("the subject has a name that is not text")]
    NotText,
    #[error("the request has a subjectAltName of a kind that is not signed")]
    AlternativeName,
}

impl Asked {
    /// Reads the request in a CertificateSigningRequest.
    pub(crate) fn of(object: &Value) -> Result<Asked, AskedError> {
        let text = object["spec"]["request"].as_str().unwrap_or_default();
        let pem = STANDARD.decode(text).map_err(|_| AskedError::Envelope)?;
        match rustls_pemfile::csr(&mut &*pem) {
            Ok(Some(der)) => Asked::from_der(&der),
            _ => Err(AskedError::Envelope),
        }
    }

    /// Reads a request and checks its signature.
    pub(crate) fn from_der(der: &[u8]) -> Result<Asked, AskedError> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| AskedError::Malformed)?;
        if !rest.is_empty() {
            return Err(AskedError::Malformed);
        }
        request.verify_signature().map_err(|_| AskedError::Signature)?;
        let info = &request.certification_request_info;
        let mut common_names = info.subject.iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (None, _) => "",
            (Some(name), None) => name.as_str().map_err(|_| AskedError::NotText)?,
            (Some(_), Some(_)) => return Err(AskedError::CommonNames),
        };
        let organizations = info.subject.iter_organization();
        let organizations: Result<Vec<String>, _> =
            organizations.map(|name| name.as_str().map(str::to_owned)).collect();
        let mut names = Vec::new();
        for extension in request.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(list) = extension {
                for name in &list.general_names {
                    names.push(AlternativeName::of(name).ok_or(AskedError::AlternativeName)?);
                }
            }
        }
        Ok(Asked {
            common_name: common_name.to_owned(),
            organizations: organizations.map_err(|_| AskedError::NotText)?,
            names,
            subject_der: info.subject.as_raw().to_vec(),
            public_key_der: info.subject_pki.raw.to_vec(),
        })
    }
}

impl AlternativeName {
    fn of(name: &GeneralName<'_>) -> Option<AlternativeName> {
        match name {
            GeneralName::DNSName(text) => Some(AlternativeName::Dns((*text).to_owned())),
            GeneralName::RFC822Name(text) => Some(AlternativeName::Email((*text).to_owned())),
            GeneralName::URI(text) => Some(AlternativeName::Uri((*text).to_owned())),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
                let v6 = <[u8; 16]>::try_from(*bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
                v4.or(v6).ok().map(AlternativeName::Ip)
            }
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
