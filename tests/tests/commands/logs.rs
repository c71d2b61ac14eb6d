//! `logs`, of pods that run, that have ended, and that were started again.

use serde_json::Value;
use tests::{Sandbox, clients::BOTH, sandbox::SOON, wait_for};

use super::{in_namespace, namespace};

/// What both clients print of each log.
pub(crate) fn are_printed(sandbox: &Sandbox) {
    for client in BOTH {
        let namespace = namespace(client);
        // First: it follows a pod that may still run, and ends with it.
        assert_eq!(in_namespace(sandbox, client, "logs -f two -c a"), "a1\na2\na3\na4\n");
        wait_for("the pod to have been started again", SOON, || {
            let pod = sandbox.get(&["-n", &namespace, "pod", "again"])?;
            let container = &pod["status"]["containerStatuses"][0];
            (container["restartCount"] == 1 && container["ready"] == true).then_some(())
        });
        for (words, expected) in [
            ("logs shell", "one\ntwo\n"),
            ("logs shell --tail=1", "two\n"),
            ("logs --tail 0 shell", ""),
            ("logs pod/shell", "one\ntwo\n"),
            ("logs shell --limit-bytes=4", "one\n"),
            ("logs -l app=shell", "one\ntwo\n"),
            ("logs two -c b", "b1\nb2\n"),
            ("logs two b --tail=1", "b2\n"),
            (
                "logs two --all-containers --prefix --tail=1",
                "[pod/two/a] a4\n[pod/two/b] b2\n",
            ),
            ("logs again", "started\n"),
            ("logs again --previous", "started\nfailed\n"),
            ("logs -p again --tail=1", "failed\n"),
            ("logs two", "a1\na2\na3\na4\n"),
        ] {
            let mut lines: Vec<String> = in_namespace(sandbox, client, words)
                .lines()
                .map(str::to_owned)
                .collect();
            if words.contains("--all-containers") {
                // kubectl reads them at the same time.
                lines.sort();
            }
            assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{} {words}", client.name());
        }
        let stamped = in_namespace(sandbox, client, "logs shell --timestamps --tail=1");
        let is_stamped = stamped
            .split_once(' ')
            .is_some_and(|(time, line)| time.ends_with('Z') && line == "two\n");
        assert!(is_stamped, "{stamped}");
        let refused = client.run(
            &sandbox.kubeconfig(),
            &["-n", &namespace, "logs", "shell", "--previous"],
            "",
        );
        let said = "previous terminated container \"shell\" in pod \"shell\" not found";
        assert!(!refused.success && refused.err.contains(said), "{refused:?}");
        let pod: Option<Value> = sandbox.get(&["-n", &namespace, "pod", "two"]);
        assert_eq!(pod.expect("it stays")["status"]["phase"], "Succeeded");
    }
}
