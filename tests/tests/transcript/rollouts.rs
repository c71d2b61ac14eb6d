//! Deployments over their life, and nodes that are emptied of pods.

use tests::images::WEB;

use super::{Transcript, fails, works};

/// `rollout`, `set`, `scale`, `autoscale`, `delete --cascade`.
pub(crate) fn deployments(transcript: &mut Transcript<'_>) {
    let colour = "deploy web -o jsonpath={.spec.template.spec.containers[0].env[0].value}";
    let image = "deploy web -o jsonpath={.spec.template.spec.containers[0].image}";
    transcript.run(vec![
        works(format!("create deployment web --image={WEB} --port=8080")).says(&["deployment.apps/web created"]),
        works("rollout status deploy/web --timeout=60s").says(&["deployment \"web\" successfully rolled out"]),
        works("wait --for=condition=Available deploy/web --timeout=10s").says(&["condition met"]),
        fails("wait --for=condition=Progressing=False deploy/web --timeout=1s", "timed out waiting for the condition"),
        works("annotate deploy web kubernetes.io/change-cause=first"),
        works("set env deploy/web COLOUR=blue").says(&["deployment.apps/web env updated"]).then(colour, "blue"),
        works("set env deploy/web --list").says(&["COLOUR=blue"]),
        works("annotate deploy web kubernetes.io/change-cause=second --overwrite"),
        works("rollout status deploy/web --timeout=60s").says(&["successfully rolled out"]),
        works("rollout history deploy/web").says(&["REVISION  CHANGE-CAUSE", "1         first", "2         second"]),
        works("rollout history deploy/web --revision=2").says(&["with revision #2", "COLOUR:\tblue"]),
        fails("rollout history sts/none", "statefulsets.apps \"none\" not found"),
        works("rollout undo deploy/web --dry-run=server").says(&["rolled back (server dry run)"]).then(colour, "blue"),
        works("rollout undo deploy/web").says(&["deployment.apps/web rolled back"]).then(colour, ""),
        works("rollout status deploy/web --timeout=60s").says(&["successfully rolled out"]),
        works("rollout undo deploy/web --to-revision=2").then(colour, "blue"),
        fails("rollout undo deploy/web --to-revision=9", "unable to find specified revision 9 in history"),
        works("rollout restart deploy/web").says(&["deployment.apps/web restarted"]),
        works("get deploy web -o yaml").says(&["kubectl.kubernetes.io/restartedAt"]),
        works("rollout pause deploy/web").says(&["deployment.apps/web paused"]),
        fails("rollout pause deploy/web", "is already paused"),
        fails("rollout undo deploy/web", "you cannot rollback a paused deployment"),
        works("set image deploy/web test-web=skep.test/none:1").says(&["image updated"]).then(image, "skep.test/none:1"),
        works(format!("set image deploy/web '*={WEB}'")).then(image, WEB),
        fails("set image deploy/web none=x", "unable to find container named \"none\""),
        works("set resources deploy/web --requests=cpu=10m --limits=cpu=200m,memory=64Mi")
            .says(&["resource requirements updated"])
            .then("deploy web -o jsonpath={.spec.template.spec.containers[0].resources.limits.memory}", "64Mi"),
        works("set serviceaccount deploy/web robot")
            .says(&["serviceaccount updated"])
            .then("deploy web -o jsonpath={.spec.template.spec.serviceAccountName}", "robot"),
        works("set env deploy/web --from=configmap/settings --prefix=S_ --overwrite"),
        works("set env deploy/web COLOUR- S_SIZE- S_SHAPE-"),
        works("rollout resume deploy/web").says(&["deployment.apps/web resumed"]),
        fails("rollout resume deploy/web", "is not paused"),
        works("rollout status deploy/web --timeout=60s").says(&["successfully rolled out"]),
        works("get pods -l app=web -o jsonpath={.items[*].spec.serviceAccountName}").says(&["robot"]),
        fails("scale deploy web --current-replicas=4 --replicas=2", "Expected replicas to be 4, was 1"),
        works("scale deploy web --current-replicas=1 --replicas=2")
            .says(&["deployment.apps/web scaled"])
            .then("deploy web -o jsonpath={.status.readyReplicas}", "2"),
        works(r#"patch deploy web --subresource=scale --type=merge -p '{"spec":{"replicas":1}}'"#)
            .says(&["patched"])
            .then("deploy web -o jsonpath={.spec.replicas}", "1"),
        // not yet: DESIRED and AVAILABLE in the table of a scale.
        works("get deploy web --subresource=scale -o jsonpath={.kind},{.spec.replicas}").says(&["Scale,1"]),
        works(r#"patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"test-web","imagePullPolicy":"Never"}]}}}}'"#)
            .then(image, WEB),
        works("rollout status deploy/web --timeout=60s").says(&["successfully rolled out"]),
        works("autoscale deploy web --min=1 --max=3 --cpu=50%")
            .says(&["horizontalpodautoscaler.autoscaling/web autoscaled"])
            .then("hpa web -o jsonpath={.spec.maxReplicas},{.spec.metrics[0].resource.target.averageUtilization}", "3,50"),
        works("describe deploy web").says(&["ScalingReplicaSet", "NewReplicaSet:"]),
        works("delete hpa web"),
        works(format!("create deployment brief --image={WEB}")),
        works("rollout status deploy/brief --timeout=60s"),
        works("delete deploy brief --cascade=foreground").says(&["deployment.apps \"brief\" deleted"]),
        fails("get deploy brief", "NotFound"),
        works("get rs,pods -l app=brief -o name").never(&["brief"]),
        works(format!("create deployment left --image={WEB}")),
        works("rollout status deploy/left --timeout=60s"),
        works("delete deploy left --cascade=orphan").says(&["deployment.apps \"left\" deleted"]),
        works("get rs -l app=left -o jsonpath={.items[0].metadata.ownerReferences}{.items[0].spec.replicas}").says(&["1"]).never(&["left"]),
        works("delete rs -l app=left").says(&["replicaset.apps \"left-"]).then("pods -l app=left -o name", ""),
    ]);
}

/// `cordon`, `drain`, `uncordon`, `taint`; the deployment `web` runs.
pub(crate) fn nodes(transcript: &mut Transcript<'_>) {
    let node = transcript.sandbox.node(1);
    let pending = "pods -l app=web -o jsonpath={.items[*].status.phase}";
    transcript.run(vec![
        works(format!("label node {node} disk=fast")).then("nodes -l disk=fast -o name", format!("node/{node}")),
        works(format!("taint node {node} a=b:PreferNoSchedule"))
            .says(&[&format!("node/{node} tainted")])
            .then(format!("node {node} -o jsonpath={{.spec.taints[*].key}}"), "a"),
        fails(format!("taint node {node} a=b:PreferNoSchedule"), "already has a taint"),
        works(format!("taint node {node} a=c:PreferNoSchedule --overwrite"))
            .then(format!("node {node} -o jsonpath={{.spec.taints[*].value}}"), "c"),
        works(format!("taint node {node} a-"))
            .says(&[&format!("node/{node} untainted")])
            .then(format!("node {node} -o jsonpath={{.spec.taints}}"), ""),
        works(format!("cordon {node}")).says(&[&format!("node/{node} cordoned")]),
        works(format!("cordon {node}")).says(&["already cordoned"]),
        works(format!("get node {node}")).says(&["Ready,SchedulingDisabled"]),
        works(format!("drain {node} --ignore-daemonsets --force --dry-run=server"))
            .says(&["(server dry run)"])
            .then(pending, "Running"),
        // not yet: a drain that a poddisruptionbudget holds up (evictions do not ask them).
        works(format!(
            "drain {node} --ignore-daemonsets --force --delete-emptydir-data --timeout=60s"
        ))
        .says(&["evicting pod transcript/web-", &format!("node/{node} drained")])
        .then(pending, "Pending"),
        works(format!("uncordon {node}"))
            .says(&[&format!("node/{node} uncordoned")])
            .then(pending, "Running"),
        works(format!("uncordon {node}")).says(&["already uncordoned"]),
        works("delete deploy web --cascade=foreground --wait=false")
            .says(&["deleted"])
            .then(pending, ""),
    ]);
}
