//! Signing what a CertificateSigningRequest asks for.
//!
//! The certificate is composed as every other one of the authority, then subject and key of the request take their
//! places as they stand there: a subject may name several groups, which the composing library cannot say, and the key
//! may be of a kind that it does not know.
//! Source: RFC 5280, section 4.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SigningKey};
use yasna::{ASN1Result, construct_der, parse_der};

use super::{Authority, IssueError, valid_for};
use crate::certificates::{AlternativeName, Order, Usage};

/// Where subject and key stand in a TBSCertificate of version 3.
const SUBJECT_AT: usize = 5;
const KEY_AT: usize = 6;
/// RFC 7468.
const PEM_LINE_BYTES: usize = 64;

impl Authority {
    /// The certificate that the order is about, PEM. It never outlives the authority.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or signing fails.
    pub(crate) fn sign_order(&self, order: &Order) -> Result<String, IssueError> {
        let mut params = CertificateParams::default();
        for name in &order.asked.names {
            params.subject_alt_names.push(san(name)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        for usage in &order.usages {
            match usage {
                Usage::DigitalSignature => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
                Usage::KeyEncipherment => params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
                Usage::ClientAuth => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
                Usage::ServerAuth => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
            }
        }
        valid_for(&mut params, order.life.min(self.life_left()));
        let stand_in = KeyPair::generate().map_err(IssueError::Sign)?;
        let composed = params
            .signed_by(&stand_in, &self.inner.issuer)
            .map_err(IssueError::Sign)?;
        let parts = [
            (SUBJECT_AT, &order.asked.subject_der),
            (KEY_AT, &order.asked.public_key_der),
        ];
        Ok(pem(&signed_with(composed.der(), &parts, self.inner.issuer.key())?))
    }
}

fn san(name: &AlternativeName) -> Result<SanType, IssueError> {
    let text = |text: &str| {
        text.to_owned().try_into().map_err(|source| IssueError::BadName {
            name: text.to_owned(),
            source,
        })
    };
    Ok(match name {
        AlternativeName::Dns(name) => SanType::DnsName(text(name)?),
        AlternativeName::Ip(ip) => SanType::IpAddress(*ip),
        AlternativeName::Email(name) => SanType::Rfc822Name(text(name)?),
        AlternativeName::Uri(name) => SanType::URI(text(name)?),
    })
}

/// The certificate with these parts in their places, signed anew.
fn signed_with(
    certificate: &[u8],
    replaced: &[(usize, &Vec<u8>)],
    key: &impl SigningKey,
) -> Result<Vec<u8>, IssueError> {
    let outer = elements(certificate).expect("a certificate that was just made is a sequence");
    let [to_be_signed, algorithm, ..] = &outer[..] else {
        unreachable!("a certificate has three parts: RFC 5280, section 4.1");
    };
    let mut inner = elements(to_be_signed).expect("its first part is a sequence");
    for (at, part) in replaced {
        inner[*at].clone_from(part);
    }
    let to_be_signed = sequence(&inner);
    let signature = key.sign(&to_be_signed).map_err(IssueError::Sign)?;
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&to_be_signed);
            writer.next().write_der(algorithm);
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

/// The elements of a sequence, each with its tag.
fn elements(der: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    parse_der(der, |reader| reader.collect_sequence_of(|reader| reader.read_der()))
}

fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            for element in elements {
                writer.next().write_der(element);
            }
        });
    })
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_BYTES));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
