use super::*;

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: [system:kube-proxy]
  verbs: [watch]
- level: None
  userGroups: [system:authenticated]
  nonResourceURLs: ['/api*', /version]
- level: Request
  resources:
  - group: ''
    resources: [configmaps]
    resourceNames: [named]
  namespaces: [kube-system]
- level: Metadata
  omitManagedFields: false
  omitStages: [Panic]
  resources:
  - group: ''
    resources: [secrets, pods/log, 'nodes/*']
  - group: apps
  - group: batch
    resources: ['*/status']
- level: RequestResponse
  resources:
  - group: ''
    resources: ['*']
  namespaces: [all]
- level: Metadata
  namespaces: ['']
";

fn caller(user: &str) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..Caller::default()
    }
}

/// `VERB GROUP/RESOURCE[/SUBRESOURCE] NAMESPACE NAME`, or `VERB PATH`.
fn request(text: &str) -> Request {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [verb, path] => Request::Path {
            verb: (*verb).to_owned(),
            path: (*path).to_owned(),
        },
        [verb, what, namespace, name] => {
            let mut what = what.splitn(3, '/').map(str::to_owned);
            Request::Resource(ResourceRequest {
                verb: (*verb).to_owned(),
                group: what.next().unwrap(),
                resource: what.next().unwrap(),
                subresource: what.next().unwrap_or_default(),
                namespace: namespace.trim_matches('-').to_owned(),
                name: name.trim_matches('-').to_owned(),
                node: String::new(),
            })
        }
        _ => panic!("{text}"),
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let policy = Policy::parse(POLICY).unwrap();
    let rows = [
        ("system:kube-proxy", "watch /services - -", Level::None),
        ("system:kube-proxy", "list /secrets x -", Level::Metadata),
        ("ann", "get /api/v1", Level::None),
        ("ann", "get /version", Level::None),
        ("ann", "get /metrics", Level::None),
        ("ann", "update /configmaps kube-system named", Level::Request),
        ("ann", "update /configmaps kube-system other", Level::None),
        ("ann", "update /configmaps x named", Level::None),
        ("ann", "get /secrets x s", Level::Metadata),
        ("ann", "get /pods/log x p", Level::Metadata),
        ("ann", "get /pods x p", Level::None),
        ("ann", "get /pods/exec x p", Level::None),
        ("ann", "get /nodes/proxy x n", Level::Metadata),
        ("ann", "create apps/deployments x -", Level::Metadata),
        ("ann", "patch batch/jobs/status x j", Level::Metadata),
        ("ann", "patch batch/jobs x j", Level::None),
        ("ann", "create /pods/eviction all p", Level::RequestResponse),
        ("ann", "create /pods all -", Level::RequestResponse),
        ("ann", "list storage.k8s.io/storageclasses - -", Level::Metadata),
    ];
    for (user, text, expected) in rows {
        let level = policy.demand(Some(&caller(user)), &request(text)).level;
        assert_eq!(level, expected, "{user}: {text}");
    }
    // Who could not say who it is fits only rules that name nobody.
    let level = |text: &str| policy.demand(None, &request(text)).level;
    assert_eq!(level("get /version"), Level::None);
    assert_eq!(level("get /secrets x s"), Level::Metadata);
}

#[test]
fn a_rule_adds_stages_to_omit_and_has_its_own_word_about_managed_fields() {
    let policy = Policy::parse(POLICY).unwrap();
    let demand = policy.demand(None, &request("get /secrets x s"));
    assert_eq!(demand.omitted, [Stage::RequestReceived, Stage::Panic]);
    assert!(!demand.omits_managed_fields);
    let demand = policy.demand(None, &request("create /pods all p"));
    assert_eq!(demand.omitted, [Stage::RequestReceived]);
    assert!(demand.omits_managed_fields);
}

#[test]
fn what_is_no_policy_is_refused() {
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    let rows = [
        ("rules: [{level: None}]".to_owned(), "audit policy is audit.k8s.io/v1"),
        (head.to_owned(), "no rules"),
        (format!("{head}rules: [{{level: Everything}}]"), "malformed"),
        (format!("{head}rules: [{{level: None, user: x}}]"), "malformed"),
        (
            format!("{head}rules: [{{level: None, namespaces: [a], nonResourceURLs: [/a]}}]"),
            "rule 0",
        ),
        (
            format!("{head}rules: [{{level: None, nonResourceURLs: ['/a*/b']}}]"),
            "/a*/b",
        ),
    ];
    for (text, expected) in rows {
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    Policy::parse(&format!("{head}metadata: {{name: x}}\nrules: [{{level: None}}]")).unwrap();
}
