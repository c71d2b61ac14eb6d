//! Commands that go to a container: `exec`, `cp`, `attach`, `logs`, `port-forward`. Their streams have tests of their own.

use tests::images::BUSYBOX;

use super::{Transcript, fails, works};

/// A pod that runs, and one that ends.
pub(crate) fn entered(transcript: &mut Transcript<'_>) {
    transcript.file("letter", "dear pod\n");
    transcript.run(vec![
        works(format!(
            "run shell --image={BUSYBOX} --labels=app=shell --env=COLOUR=blue --command -- sh -c 'trap \"exit 0\" TERM; \
             echo up; while true; do sleep 0.1; done'"
        ))
        .says(&["pod/shell created"]),
        works("wait --for=condition=Ready pod/shell --timeout=60s").says(&["pod/shell condition met"]),
        works("exec shell -- sh -c 'echo $COLOUR'").says(&["blue\n"]),
        works("exec -i shell -- cat").input("through\n").says(&["through\n"]),
        fails("exec shell -- sh -c 'exit 7'", "command terminated with exit code 7"),
        fails("exec shell -c none -- true", "container none is not valid for pod shell"),
        fails("exec none -- true", "pods \"none\" not found"),
        works("cp letter shell:/tmp/letter"),
        works("exec shell -- cat /tmp/letter").says(&["dear pod\n"]),
        works("cp shell:/tmp/letter answer"),
        works("logs shell").says(&["up\n"]),
        works("logs pod/shell --since=1h --tail=1").says(&["up\n"]),
        fails("logs none", "pods \"none\" not found"),
        fails("port-forward svc/kubernetes -n default 9999:443", "Service is defined without a selector"),
        works(format!("run -i --rm --restart=Never echo --image={BUSYBOX} --command -- cat"))
            .input("attached\n")
            .says(&["attached\n", "pod \"echo\" deleted"]),
        works("events --for pod/shell").says(&["Scheduled", "Started container shell"]),
        works("events --types=Normal -A").says(&["NAMESPACE", "Scheduled"]),
        works("get events --field-selector=involvedObject.name=shell --sort-by=.lastTimestamp").says(&["Pulled", "Started"]),
        works("get pods --field-selector=status.phase=Running -o name").says(&["pod/shell"]),
        works("describe pod shell").says(&["COLOUR:  blue", "Started container shell"]),
        works("expose pod shell --port=80 --name=shell")
            .says(&["service/shell exposed"])
            .then("svc shell -o jsonpath={.spec.selector.app}", "shell"),
        // It waits for its client: what is said before that one is there is in the log only.
        works(format!(
            "debug shell -i --quiet --container=look --target=shell --image={BUSYBOX} -- sh -c 'read line; ps'"
        ))
        .input("look\n")
        .says(&["sh -c trap"])
            .then("pod shell -o jsonpath={.spec.ephemeralContainers[0].name}", "look"),
        fails(
            format!("debug none --image={BUSYBOX}"),
            "pods \"none\" not found",
        ),
        works("delete pod shell --grace-period=1").says(&["pod \"shell\" deleted"]),
        fails("get pod shell", "NotFound"),
    ]);
    let copied = std::fs::read_to_string(transcript.sandbox.work_dir().join("answer"));
    assert_eq!(copied.ok().as_deref(), Some("dear pod\n"), "copied there and back");
}
