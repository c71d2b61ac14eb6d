//! Objects, whatever their kind: created, applied, changed, deleted.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rcgen::{CertificateParams, KeyPair};

use super::{NAMESPACE, Transcript, fails, works};

/// `create`, of everything that it can make from words.
pub(crate) fn created(transcript: &mut Transcript<'_>) {
    let key = KeyPair::generate().expect("make a key");
    let params = CertificateParams::new(["web.test".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("sign");
    transcript.file("tls.key", &key.serialize_pem());
    transcript.file("tls.crt", &certificate.pem());
    transcript.file("colour", "blue");
    transcript.file("settings.env", "SIZE=large\nSHAPE=round\n");
    transcript.run(vec![
        works("create role reader --verb=get,list --resource=pods,deployments.apps --resource-name=one")
            .says(&["role.rbac.authorization.k8s.io/reader created"])
            .then(
                "role reader -o jsonpath={.rules[*].resources[*]},{.rules[0].resourceNames}",
                "pods deployments,[\"one\"]",
            ),
        works("create rolebinding readers --role=reader --user=jane --group=staff --serviceaccount=default:robot")
            .says(&["rolebinding.rbac.authorization.k8s.io/readers created"])
            .then(
                "rolebinding readers -o jsonpath={.subjects[*].name}",
                "jane staff robot",
            ),
        works("create clusterrole watcher --verb=watch --resource=nodes")
            .says(&["clusterrole.rbac.authorization.k8s.io/watcher created"])
            .then(
                "clusterrole watcher -o jsonpath={.rules}",
                r#"[{"apiGroups":[""],"resources":["nodes"],"verbs":["watch"]}]"#,
            ),
        works("create clusterrole health --verb=get --non-resource-url=/healthz"),
        works("create clusterrole sum --aggregation-rule=part=sum"),
        works("create clusterrolebinding watchers --clusterrole=watcher --user=jane")
            .says(&["clusterrolebinding.rbac.authorization.k8s.io/watchers created"])
            .then("clusterrolebinding watchers -o jsonpath={.roleRef.name}", "watcher"),
        works("set subject rolebinding/readers --user=joe")
            .says(&["subjects updated"])
            .then(
                "rolebinding readers -o jsonpath={.subjects[*].name}",
                "jane staff robot joe",
            ),
        works("create quota few --hard=configmaps=100,services=20")
            .says(&["resourcequota/few created"])
            .then("quota few -o jsonpath={.status.hard.services}", "20"),
        works("create priorityclass high --value=1000 --description=first")
            .says(&["priorityclass.scheduling.k8s.io/high created"])
            .then(
                "priorityclass high -o jsonpath={.value},{.preemptionPolicy}",
                "1000,PreemptLowerPriority",
            ),
        works("create poddisruptionbudget half --selector=app=half --min-available=50%")
            .says(&["poddisruptionbudget.policy/half created"])
            .then("pdb half -o jsonpath={.spec.minAvailable}", "50%"),
        works("create ingress front --class=default --rule=web.test/*=web:80,tls=front-tls --annotation=a=b")
            .says(&["ingress.networking.k8s.io/front created"])
            .then(
                "ingress front -o jsonpath={.spec.rules[0].http.paths[0].backend.service.name}",
                "web",
            ),
        works("create job once --image=skep.test/busybox:1 -- true")
            .says(&["job.batch/once created"])
            .then(
                "job once -o jsonpath={.spec.template.spec.restartPolicy},{.spec.backoffLimit}",
                "Never,6",
            ),
        works("create cronjob often --image=skep.test/busybox:1 --schedule='*/5 * * * *' -- true")
            .says(&["cronjob.batch/often created"])
            .then(
                "cronjob often -o jsonpath={.spec.schedule},{.spec.concurrencyPolicy}",
                "*/5 * * * *,Allow",
            ),
        works("create job now --from=cronjob/often")
            .says(&["job.batch/now created"])
            .then("job now -o jsonpath={.metadata.ownerReferences[0].name}", "often"),
        fails(
            "create cronjob never --image=skep.test/busybox:1 --schedule=never -- true",
            "spec.schedule: Invalid value",
        ),
        works("create secret generic words --from-literal=a=b --from-file=colour --type=example.com/words")
            .says(&["secret/words created"])
            .then(
                "secret words -o jsonpath={.data.colour},{.type}",
                "Ymx1ZQ==,example.com/words",
            ),
        works("create secret tls front-tls --cert=tls.crt --key=tls.key")
            .then("secret front-tls -o jsonpath={.type}", "kubernetes.io/tls"),
        works("create secret docker-registry images --docker-server=r.test --docker-username=u --docker-password=p")
            .then("secret images -o jsonpath={.type}", "kubernetes.io/dockerconfigjson"),
        works("create configmap settings --from-env-file=settings.env")
            .says(&["configmap/settings created"])
            .then("cm settings -o jsonpath={.data.SIZE},{.data.SHAPE}", "large,round"),
        fails("create configmap settings", "configmaps \"settings\" already exists"),
        works("create configmap local --dry-run=client -o yaml").says(&["kind: ConfigMap", "name: local"]),
        works("create configmap checked --dry-run=server").says(&["configmap/checked created (server dry run)"]),
        fails("get cm checked", "NotFound"),
        works("create serviceaccount robot").says(&["serviceaccount/robot created"]),
        works("create token robot --duration=1h --audience=there").says(&["eyJ"]),
        fails("create token nobody", "serviceaccounts \"nobody\" not found"),
        works("create namespace other").says(&["namespace/other created"]).then(
            "ns other -o jsonpath={.status.phase},{.spec.finalizers}",
            "Active,[\"kubernetes\"]",
        ),
        works("create service clusterip inside --tcp=80:8080").then(
            "svc inside -o jsonpath={.spec.type},{.spec.ports[0].targetPort}",
            "ClusterIP,8080",
        ),
        works("create service clusterip headless --clusterip=None")
            .then("svc headless -o jsonpath={.spec.clusterIP}", "None"),
        works("create service nodeport outside --tcp=80 --node-port=30999")
            .then("svc outside -o jsonpath={.spec.ports[0].nodePort}", "30999"),
        fails(
            "create service nodeport again --tcp=80 --node-port=30999",
            "provided port is already allocated",
        ),
        works("create service loadbalancer balanced --tcp=80")
            .then("svc balanced -o jsonpath={.spec.type}", "LoadBalancer"),
        works("create service externalname away --external-name=example.com")
            .then("svc away -o jsonpath={.spec.externalName}", "example.com"),
        works("set selector service/inside app=inside,tier=a")
            .says(&["selector updated"])
            .then(
                "svc inside -o jsonpath={.spec.selector}",
                r#"{"app":"inside","tier":"a"}"#,
            ),
        fails("create -f -", "strict decoding error: unknown field \"bogus\"")
            .input("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\nbogus: 1\n"),
        works("create -f - --validate=ignore -o name")
            .says(&["configmap/wrong"])
            .input("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\nbogus: 1\n"),
    ]);
}

fn configmap(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{set: applied}}}}\n\
         data: {{a: \"{value}\"}}\n"
    )
}

/// `apply` in all its forms, `diff`, `replace`.
pub(crate) fn applied(transcript: &mut Transcript<'_>) {
    transcript.file("one.yaml", &configmap("one", "1"));
    transcript.file("two.yaml", &configmap("one", "2"));
    transcript.file(
        "both.yaml",
        &format!("{}---\n{}", configmap("one", "2"), configmap("more", "1")),
    );
    transcript.run(vec![
        works("apply -f one.yaml --dry-run=client").says(&["configmap/one created (dry run)"]),
        works("apply -f one.yaml --dry-run=server").says(&["configmap/one created (server dry run)"]),
        fails("get cm one", "NotFound"),
        fails("diff -f one.yaml", "+  a: \"1\""),
        works("apply -f one.yaml").says(&["configmap/one created"]),
        works("apply -f one.yaml").says(&["configmap/one unchanged"]),
        works("diff -f one.yaml"),
        fails("diff -f two.yaml", "-  a: \"1\"\n+  a: \"2\""),
        fails("diff --server-side --force-conflicts -f two.yaml", "+  a: \"2\""),
        works("apply view-last-applied cm/one").says(&["a: \"1\"", "set: applied"]),
        works("apply view-last-applied -f one.yaml -o json").says(&["\"a\": \"1\""]),
        works("apply -f both.yaml")
            .says(&["configmap/one configured", "configmap/more created"])
            .then("cm one -o jsonpath={.data.a}", "2"),
        works("apply set-last-applied -f one.yaml").says(&["configmap/one configured"]),
        works("apply view-last-applied cm/one").says(&["a: \"1\""]),
        works("apply --prune -l set=applied -f one.yaml")
            .says(&["configmap/one configured", "configmap/more pruned"])
            .then("cm -l set=applied -o name", "configmap/one"),
        fails(
            "apply --server-side --field-manager=me -f two.yaml",
            "conflict with \"kubectl-client-side-apply\"",
        ),
        works("apply --server-side --field-manager=me --force-conflicts -f two.yaml")
            .says(&["configmap/one serverside-applied"])
            .then("cm one -o jsonpath={.data.a}", "2"),
        works("get cm one -o yaml --show-managed-fields").says(&["manager: me", "operation: Apply"]),
        works("get cm one -o yaml").never(&["managedFields"]),
        works("replace -f one.yaml")
            .says(&["configmap/one replaced"])
            .then("cm one -o jsonpath={.data.a}", "1"),
        works("replace --force -f two.yaml")
            .says(&["configmap \"one\" deleted", "configmap/one replaced"])
            .then("cm one -o jsonpath={.data.a}", "2"),
        fails("replace -f -", "configmaps \"none\" not found").input(configmap("none", "1")),
    ]);
}

/// `label`, `annotate`, `patch`, `edit`, `get` in its forms.
pub(crate) fn changed(transcript: &mut Transcript<'_>) {
    transcript.run(vec![
        works("label cm one x=y")
            .says(&["configmap/one labeled"])
            .then("cm -l x=y -o name", "configmap/one"),
        fails("label cm one x=z", "already has a value (y)"),
        works("label cm one x=z --overwrite").then("cm -l 'x in (z,w)' -o name", "configmap/one"),
        fails("label cm one 'x=not a value' --overwrite", "a valid label must be"),
        works("label cm one --list").says(&["x=z", "set=applied"]),
        works("label cm one x-")
            .says(&["configmap/one unlabeled"])
            .then("cm -l x -o name", ""),
        works("label cm --all every=one").says(&["configmap/one labeled", "configmap/settings labeled"]),
        works("annotate cm one note=first").says(&["configmap/one annotated"]),
        works("annotate cm one note=second --overwrite")
            .then("cm one -o jsonpath={.metadata.annotations.note}", "second"),
        works("annotate cm -l set=applied note-").then("cm one -o jsonpath={.metadata.annotations.note}", ""),
        works(r#"patch cm one -p '{"data":{"b":"1"}}'"#)
            .says(&["configmap/one patched"])
            .then("cm one -o jsonpath={.data.b}", "1"),
        works(r#"patch cm one -p '{"data":{"b":"1"}}'"#).says(&["configmap/one patched (no change)"]),
        works(r#"patch cm one --type=merge -p '{"data":{"b":null,"c":"2"}}'"#)
            .then("cm one -o jsonpath={.data.b}{.data.c}", "2"),
        works(r#"patch cm one --type=json -p '[{"op":"test","path":"/data/c","value":"2"},{"op":"replace","path":"/data/c","value":"3"}]'"#)
            .then("cm one -o jsonpath={.data.c}", "3"),
        fails(r#"patch cm one --type=json -p '[{"op":"remove","path":"/data/none"}]'"#, "the server rejected our request due to an error in our request"),
        fails("patch cm one --type=merge -p '{data:{a:1}}'", "error decoding patch"),
        fails(r#"patch cm none -p '{"data":{"b":"1"}}'"#, "configmaps \"none\" not found"),
        works(r#"patch svc balanced --subresource=status --type=merge -p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}'"#)
            .says(&["service/balanced patched"])
            .then("svc balanced -o jsonpath={.status.loadBalancer.ingress[0].ip}", "192.0.2.7"),
        works("get svc balanced --subresource=status -o name").says(&["service/balanced"]),
        works("get cm --sort-by=.metadata.name -o custom-columns=NAME:.metadata.name,A:.data.a --no-headers -l set")
            .says(&["one   2"]),
        works("get cm -o custom-columns=NAME:.metadata.name --sort-by=.metadata.creationTimestamp").says(&["NAME", "one"]),
        works("get cm --chunk-size=1 -o name").says(&["configmap/kube-root-ca.crt\nconfigmap/one\nconfigmap/settings\n"]),
        works("get cm --field-selector=metadata.name=one -o name").says(&["configmap/one\n"]).never(&["settings"]),
        works("get svc --field-selector=spec.type=LoadBalancer -o name").says(&["service/balanced"]).never(&["inside"]),
        works("get secrets --field-selector=type=kubernetes.io/tls -o name").says(&["front-tls"]).never(&["words"]),
        fails("get cm --field-selector=data.a=1", "field label not supported: data.a"),
        works("get cm -l 'set!=applied,every' -o name").says(&["settings"]).never(&["configmap/one"]),
        works("get cm one -L set --label-columns=every").says(&["SET", "EVERY", "applied"]),
        works("get cm one -o go-template={{.data.a}}").says(&["2"]),
        works("get ns,cm -A -o jsonpath={.items[*].kind}").says(&["Namespace", "ConfigMap"]),
        fails("get cm one two three", "configmaps \"three\" not found"),
        fails("get nonsense", "the server doesn't have a resource type \"nonsense\""),
    ]);
    edited(transcript);
}

/// `edit`, with an editor that is a script.
fn edited(transcript: &mut Transcript<'_>) {
    transcript.file("editor", "#!/bin/sh\nsed -i 's/a: \"2\"/a: \"3\"/' \"$1\"\n");
    let editor = transcript.sandbox.work_dir().join("editor");
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).expect("make it a program");
    for step in [
        works("edit cm one")
            .says(&["configmap/one edited"])
            .then("cm one -o jsonpath={.data.a}", "3"),
        works("edit cm one").says(&["Edit cancelled, no changes made"]),
        works("apply edit-last-applied cm/one").says(&["configmap/one"]).then(
            "cm one -o jsonpath={.metadata.annotations.kubectl\\.kubernetes\\.io/last-applied-configuration}",
            format!(
                "{{\"apiVersion\":\"v1\",\"data\":{{\"a\":\"3\"}},\"kind\":\"ConfigMap\",\"metadata\":{{\"annotations\":{{}},\
                 \"labels\":{{\"set\":\"applied\"}},\"name\":\"one\",\"namespace\":\"{NAMESPACE}\"}}}}"
            ),
        ),
    ] {
        if step.words.starts_with("apply") {
            // `replace --force` has kept no such configuration.
            transcript.run(vec![works("apply -f two.yaml")]);
        }
        let mut command = transcript.command(&step.words);
        command.env("EDITOR", &editor).env_remove("KUBE_EDITOR");
        let said = tests::clients::run_with_input(command, "");
        transcript.judge(&step, &said);
    }
}

/// `delete` in its forms.
pub(crate) fn deleted(transcript: &mut Transcript<'_>) {
    let held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n";
    transcript.run(vec![
        works("create -f -").input(held),
        fails("delete cm held --timeout=1s", "timed out waiting for the condition on configmaps/held"),
        works("get cm held -o jsonpath={.metadata.deletionTimestamp}").says(&["T", "Z"]),
        works(r#"patch cm held --type=merge -p '{"metadata":{"finalizers":null}}'"#),
        fails("get cm held", "NotFound"),
        works("delete cm one --dry-run=server").says(&["deleted", "(server dry run)"]).then("cm one -o name", "configmap/one"),
        works("delete -f one.yaml").says(&["configmap \"one\" deleted"]),
        fails("delete cm one --now", "configmaps \"one\" not found"),
        works("delete cm one --ignore-not-found"),
        works("delete secret -l none=such").says(&["No resources found"]),
        works("delete secret --field-selector=type=kubernetes.io/tls").says(&["secret \"front-tls\" deleted"]).never(&["words"]),
        works("delete cm --all --wait=false").says(&["configmap \"settings\" deleted"]),
        // not yet: the job that the cronjob owns goes with it (owners of kinds without a controller count as there).
        works("delete job/once cronjob/often --cascade=background")
            .says(&["job.batch \"once\" deleted", "cronjob.batch \"often\" deleted"]),
        works("delete job/now"),
        works("delete role,rolebinding --all").says(&["\"reader\" deleted", "\"readers\" deleted"]),
        works("delete clusterrolebinding/watchers clusterrole/watcher clusterrole/health clusterrole/sum priorityclass/high"),
        works("delete ns other").says(&["namespace \"other\" deleted"]),
        fails("get ns other", "NotFound"),
        fails("delete ns default", "Forbidden"),
        works("delete --raw /api/v1/namespaces/transcript/secrets/words").says(&["Success"]),
    ]);
}
