//! The `--oidc-*` arguments of `skep server` and `skep up`, with the names, meanings and defaults of kube-apiserver's.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use anyhow::Context as _;
use control::auth::{Algorithm, OidcConfig};

/// Whose ID tokens are taken.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "OpenID Connect")]
pub(crate) struct OidcArguments {
    /// URL of the issuer whose ID tokens are taken; HTTPS only.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer_url: Option<String>,
    /// The client that tokens must be for.
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    oidc_client_id: Option<String>,
    /// The claim with the user's name.
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    oidc_username_claim: String,
    /// Goes before users' names. Default: the issuer's URL and '#', unless the claim is email; '-' for nothing.
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "oidc_issuer_url",
        allow_hyphen_values = true
    )]
    oidc_username_prefix: Option<String>,
    /// The claim with the user's groups: a text or a list of texts.
    #[arg(long, value_name = "CLAIM", requires = "oidc_issuer_url")]
    oidc_groups_claim: Option<String>,
    /// Goes before groups.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    oidc_groups_prefix: String,
    /// A claim that tokens must have with this value. May be repeated.
    #[arg(long, value_name = "CLAIM=VALUE", requires = "oidc_issuer_url", value_parser = parse_claim)]
    oidc_required_claim: Vec<(String, String)>,
    /// How tokens may be signed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384.
    #[arg(long, value_name = "ALG,...", value_delimiter = ',', default_value = "RS256", value_parser = parse_algorithm)]
    oidc_signing_algs: Vec<Algorithm>,
    /// PEM of the authorities that vouch for the issuer. Default: the system's.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer_url")]
    oidc_ca_file: Option<PathBuf>,
}

fn parse_claim(text: &str) -> Result<(String, String), String> {
    let (claim, value) = text.split_once('=').ok_or("a claim is CLAIM=VALUE, as in team=ops")?;
    Ok((claim.to_owned(), value.to_owned()))
}

fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::by_name(text).ok_or_else(|| "not an algorithm that tokens can be checked with".to_owned())
}

impl OidcArguments {
    /// As the arguments of a server that says the same; files by their whole paths.
    pub(crate) fn as_flags(&self) -> anyhow::Result<Vec<OsString>> {
        let mut flags = Vec::new();
        if self.oidc_issuer_url.is_none() {
            return Ok(flags);
        }
        let mut flag = |name: &str, value: &OsStr| {
            let mut word = OsString::from(format!("--oidc-{name}="));
            word.push(value);
            flags.push(word);
        };
        let algorithms: Vec<&str> = self
            .oidc_signing_algs
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        for (name, value) in [
            ("issuer-url", self.oidc_issuer_url.as_ref()),
            ("client-id", self.oidc_client_id.as_ref()),
            ("username-claim", Some(&self.oidc_username_claim)),
            ("username-prefix", self.oidc_username_prefix.as_ref()),
            ("groups-claim", self.oidc_groups_claim.as_ref()),
            ("groups-prefix", Some(&self.oidc_groups_prefix)),
            ("signing-algs", Some(&algorithms.join(","))),
        ] {
            if let Some(value) = value {
                flag(name, value.as_ref());
            }
        }
        for (claim, value) in &self.oidc_required_claim {
            flag("required-claim", format!("{claim}={value}").as_ref());
        }
        if let Some(file) = &self.oidc_ca_file {
            let file = std::path::absolute(file).context("resolve --oidc-ca-file")?;
            flag("ca-file", file.as_os_str());
        }
        Ok(flags)
    }

    /// The configuration, if an issuer is given.
    pub(crate) fn config(self) -> Option<OidcConfig> {
        Some(OidcConfig {
            issuer_url: self.oidc_issuer_url?,
            client_id: self.oidc_client_id?,
            username_claim: self.oidc_username_claim,
            username_prefix: self.oidc_username_prefix,
            groups_claim: self.oidc_groups_claim,
            groups_prefix: self.oidc_groups_prefix,
            required_claims: self.oidc_required_claim.into_iter().collect::<BTreeMap<_, _>>(),
            signing_algorithms: self.oidc_signing_algs,
            ca_file: self.oidc_ca_file,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        oidc: OidcArguments,
    }

    #[test]
    fn flags_are_those_of_kube_apiserver() {
        let rows: [(&[&str], Option<bool>); 7] = [
            (&[], Some(false)),
            (&["--oidc-issuer-url=https://i", "--oidc-client-id=c"], Some(true)),
            (
                &[
                    "--oidc-issuer-url=https://i",
                    "--oidc-client-id=c",
                    "--oidc-username-prefix=-",
                    "--oidc-signing-algs=RS256,ES256",
                    "--oidc-required-claim=a=b",
                    "--oidc-required-claim=c=d=e",
                ],
                Some(true),
            ),
            (&["--oidc-issuer-url=https://i"], None),
            (&["--oidc-client-id=c"], None),
            (
                &[
                    "--oidc-issuer-url=https://i",
                    "--oidc-client-id=c",
                    "--oidc-signing-algs=none",
                ],
                None,
            ),
            (
                &[
                    "--oidc-issuer-url=https://i",
                    "--oidc-client-id=c",
                    "--oidc-required-claim=a",
                ],
                None,
            ),
        ];
        for (flags, expected) in rows {
            let parsed = Program::try_parse_from([&["skep"], flags].concat());
            let config = parsed.ok().map(|program| {
                let passed_on = program.oidc.as_flags().expect("whole paths");
                let passed_on = [vec!["skep".into()], passed_on].concat();
                let again = Program::parse_from(passed_on).oidc;
                let config = program.oidc.config();
                assert_eq!(again.config(), config, "passed on: {flags:?}");
                config.is_some()
            });
            assert_eq!(config, expected, "{flags:?}");
        }
    }
}
