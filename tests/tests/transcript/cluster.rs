//! What is asked of the cluster as a whole: discovery, documentation, access, certificates.

use rcgen::{CertificateParams, DnType, KeyPair};

use super::{Transcript, fails, works};

/// Discovery, `explain`, `version`, raw paths, `events`, `top`.
pub(crate) fn asked(transcript: &mut Transcript<'_>) {
    let node = transcript.sandbox.node(1);
    transcript.run(vec![
        works("version").says(&["Client Version: v1.", "Server Version: v1."]),
        works("version -o json").says(&["\"serverVersion\"", "\"gitVersion\": \"v1."]),
        works("cluster-info").says(&["Kubernetes control plane", "is running at"]),
        works("cluster-info dump -o json --namespaces=transcript").says(&["\"kind\": \"NodeList\""]),
        works("api-versions").says(&["\nv1\n", "apps/v1\n", "rbac.authorization.k8s.io/v1\n"]),
        works("api-resources -o wide").says(&["SHORTNAMES", "CATEGORIES", "deletecollection", "deployments", "all"]),
        works("api-resources --namespaced=false --api-group= -o name")
            .says(&["nodes\n", "namespaces\n"])
            .never(&["pods"]),
        works("api-resources --verbs=list,watch --sort-by=kind -o name")
            .says(&["deployments.apps"])
            .never(&["bindings\n"]),
        works("explain deploy.spec.strategy").says(&[
            "GROUP:      apps",
            "FIELD: strategy <DeploymentStrategy>",
            "rollingUpdate",
        ]),
        works("explain pods --recursive").says(&["KIND:       Pod", "terminationGracePeriodSeconds\t<integer>"]),
        works("explain hpa --api-version=autoscaling/v1").says(&["VERSION:    v1", "HorizontalPodAutoscaler"]),
        works("explain hpa.spec --api-version=autoscaling/v2").says(&["VERSION:    v2", "metrics"]),
        fails("explain pod.spec.nonsense", "field \"nonsense\" does not exist"),
        works("get --raw /healthz").says(&["ok"]),
        works("get --raw /readyz?verbose").says(&["check passed"]),
        works("get --raw /livez").says(&["ok"]),
        works("get --raw /version").says(&["gitVersion"]),
        works("get --raw /openapi/v2").says(&["\"swagger\""]),
        works("get --raw /metrics").says(&["# TYPE"]),
        fails(
            "get --raw /apis/metrics.k8s.io",
            "the server could not find the requested resource",
        ),
        works("create --raw /api/v1/namespaces/transcript/configmaps -f -")
            .input(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"}}"#)
            .says(&["\"name\":\"raw\""]),
        works("replace --raw /api/v1/namespaces/transcript/configmaps/raw -f -")
            .input(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"},"data":{"a":"1"}}"#)
            .then("cm raw -o jsonpath={.data.a}", "1"),
        fails("top nodes", "Metrics API not available"),
        fails("top pods", "Metrics API not available"),
        works("get componentstatuses").says(&["NAME", "STATUS", "Healthy"]),
        works(format!("describe node {node}")).says(&["Taints:", "Allocatable:"]),
        works("describe svc kubernetes -n default").says(&["kubernetes", "443/TCP"]),
        works("describe quota few").says(&["configmaps", "100"]),
        works("describe cronjob often").says(&["*/5 * * * *"]),
        works("describe role reader").says(&["deployments.apps", "[get list]"]),
        works("describe ingress front").says(&["web.test", "web:80"]),
        works("get cm --watch-only --request-timeout=1s").never(&["settings"]),
        works("wait --for=create cm/settings --timeout=5s").says(&["condition met"]),
        fails(
            "wait --for=create cm/never --timeout=1s",
            "timed out waiting for the condition",
        ),
        works("wait --for=delete cm/never --timeout=1s"),
        fails(
            "wait --for=delete cm/settings --timeout=1s",
            "timed out waiting for the condition",
        ),
        works("wait --for=jsonpath={.data.SIZE}=large cm/settings --timeout=5s")
            .says(&["configmap/settings condition met"]),
        works("wait --for=jsonpath={.status.phase}=Active ns/other --timeout=5s"),
        works(format!("wait --for=condition=Ready node/{node} --timeout=30s")).says(&["condition met"]),
    ]);
}

const ROLES: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: editor, namespace: transcript}\n\
                     rules: [{apiGroups: [\"\"], resources: [configmaps], verbs: [VERBS]}]\n---\n\
                     apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: editors, namespace: transcript}\n\
                     roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: editor}\n\
                     subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}]\n";

/// `auth`, and impersonation.
pub(crate) fn access(transcript: &mut Transcript<'_>) {
    transcript.run(vec![
        works("auth can-i create pods").says(&["yes"]),
        works("auth can-i '*' '*' -A").says(&["yes"]),
        works("auth can-i --list").says(&["Resources", "*.*", "[*]"]),
        works("auth whoami").says(&["ATTRIBUTE", "Username", "system:masters"]),
        works("auth whoami --as=jane --as-group=staff -o json").says(&["\"username\": \"jane\"", "\"staff\"", "system:authenticated"]),
        works("auth reconcile -f -").input(ROLES.replace("VERBS", "get")).says(&[
            "role.rbac.authorization.k8s.io/editor reconciled",
            "rolebinding.rbac.authorization.k8s.io/editors reconciled",
        ]),
        works("auth reconcile -f -")
            .input(ROLES.replace("VERBS", "get, update"))
            .says(&["missing rules added", "update"])
            .then("role editor -o jsonpath={.rules[*].verbs[*]}", "get update"),
        works("auth can-i update configmaps --as=jane").says(&["yes"]),
        works("auth can-i update configmaps/one --as=jane").says(&["yes"]),
        fails("auth can-i delete configmaps --as=jane", "no"),
        fails("auth can-i get pods/log --as=jane", "no"),
        works("auth can-i get pods/one --as=joe").says(&["yes"]),
        works("auth can-i watch nodes --as=jane").says(&["yes"]),
        works("auth can-i get /version --as=jane").says(&["yes"]),
        works("auth can-i --list --as=jane").says(&["configmaps", "[get update]"]),
        works("get cm settings --as=jane -o name").says(&["configmap/settings"]),
        fails(
            "delete cm settings --as=jane",
            "configmaps \"settings\" is forbidden: User \"jane\" cannot delete resource \"configmaps\" in API group \"\" in \
             the namespace \"transcript\"",
        ),
        fails("get secrets --as=system:serviceaccount:transcript:robot", "Forbidden"),
    ]);
}

/// A request for a client's certificate.
fn request(name: &str, common_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().expect("make a key");
    let pem = params.serialize_request(&key).expect("sign").pem().expect("write");
    let encoded = base64(pem.as_bytes());
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\n\
         spec: {{request: {encoded}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], \
         expirationSeconds: 3600}}\n"
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// `certificate approve` and `deny`.
pub(crate) fn certificates(transcript: &mut Transcript<'_>) {
    transcript.run(vec![
        works("create -f -")
            .input(request("bob", "bob"))
            .says(&["certificatesigningrequest.certificates.k8s.io/bob created"]),
        works("get csr").says(&["SIGNERNAME", "REQUESTEDDURATION", "Pending", "60m"]),
        works("certificate approve bob")
            .says(&["certificatesigningrequest.certificates.k8s.io/bob approved"])
            .then(
                "csr bob --no-headers -o custom-columns=C:.status.conditions[*].type",
                "Approved",
            ),
        works("wait --for=jsonpath={.status.certificate} csr/bob --timeout=10s"),
        works("get csr bob").says(&["Approved,Issued"]),
        works("create -f -").input(request("mallory", "mallory")),
        works("certificate deny mallory").says(&["mallory denied"]).then(
            "csr mallory -o jsonpath={.status.conditions[0].type}{.status.certificate}",
            "Denied",
        ),
        fails("certificate approve mallory", "is already Denied"),
        fails(
            "certificate approve none",
            "certificatesigningrequests.certificates.k8s.io \"none\" not found",
        ),
        works("describe csr bob").says(&["Approved,Issued", "Common Name:    bob"]),
        works("delete csr bob mallory").says(&["\"bob\" deleted", "\"mallory\" deleted"]),
    ]);
}
