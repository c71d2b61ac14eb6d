//! One GET request, judged by its status: 200 to 399 is good.
//!
//! HTTPS certificates are not verified: the question is whether the container answers, not who it is.
//! Never here: following redirects, bodies. Source: RFC 9112; Kubernetes' HTTP probes.

use std::sync::Arc;

use api::k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// Longest status line that is read.
const STATUS_LINE_BYTES_MAX: u64 = 8 * 1024;

pub(super) async fn get(action: &HTTPGetAction, host: &str, port: u16) -> Result<(), String> {
    let path = match action.path.as_deref() {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
        None => "/".to_owned(),
    };
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
    let url = format!("{scheme}://{host}:{port}{path}");
    let failed = |err: &dyn std::fmt::Display| format!("Get \"{url}\": {err}");
    let stream = TcpStream::connect((host, port)).await.map_err(|err| failed(&err))?;
    let request = request(action, host, port, &path);
    let status = if scheme == "https" {
        let name = ServerName::try_from(host.to_owned()).map_err(|err| failed(&err))?;
        let connector = tokio_rustls::TlsConnector::from(client_config().map_err(|err| failed(&err))?);
        let stream = connector.connect(name, stream).await.map_err(|err| failed(&err))?;
        exchange(stream, &request).await
    } else {
        exchange(stream, &request).await
    };
    match status.map_err(|err| failed(&err))? {
        200..=399 => Ok(()),
        status => Err(format!("HTTP probe failed with statuscode: {status}")),
    }
}

fn request(action: &HTTPGetAction, host: &str, port: u16, path: &str) -> String {
    let mut headers = vec![
        ("Host".to_owned(), format!("{host}:{port}")),
        ("User-Agent".to_owned(), "kube-probe/1.36".to_owned()),
        ("Accept".to_owned(), "*/*".to_owned()),
        ("Connection".to_owned(), "close".to_owned()),
    ];
    for header in action.http_headers.iter().flatten() {
        // A line break would begin another header.
        let clean = |text: &str| !text.contains(['\r', '\n']);
        if clean(&header.name) && clean(&header.value) {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(&header.name));
            headers.push((header.name.clone(), header.value.clone()));
        }
    }
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LINE_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let mut words = line.split_ascii_whitespace();
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    status
        .filter(|_| version.starts_with("HTTP/"))
        .ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes any certificate; checks that its key signed the handshake.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use api::k8s_openapi::api::core::v1::HTTPGetAction;
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::get;

    /// Answers one request with `answer`; gives back what was asked.
    async fn asked(answer: &'static str, action: serde_json::Value) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let mut action = action;
        action["port"] = json!(port);
        let action: HTTPGetAction = serde_json::from_value(action).unwrap();
        (get(&action, "127.0.0.1", port).await, server.await.unwrap())
    }

    #[tokio::test]
    async fn the_status_decides() {
        for (answer, good) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.0 302 Found\r\n\r\n", true),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false),
            ("HTTP/1.1 500 Oops\r\n\r\n", false),
            ("SSH-2.0-OpenSSH\r\n", false),
            ("", false),
        ] {
            let (result, _) = asked(answer, json!({})).await;
            assert_eq!(result.is_ok(), good, "{answer:?}: {result:?}");
        }
    }

    #[tokio::test]
    async fn headers_and_path_are_sent() {
        let (_, request) = asked(
            "HTTP/1.1 200 OK\r\n\r\n",
            json!({"path": "healthz?x=1", "httpHeaders": [
                {"name": "host", "value": "web.example"}, {"name": "X-A", "value": "1\r\nX-Evil: 1"},
            ]}),
        )
        .await;
        assert!(request.starts_with("GET /healthz?x=1 HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains("host: web.example\r\n") && !request.contains("Host: 127"),
            "{request}"
        );
        assert!(!request.contains("Evil"), "{request}");
    }
}
