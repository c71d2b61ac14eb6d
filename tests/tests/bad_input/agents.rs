//! Agents with a wrong token, and without their server.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Sandbox,
    clients::{BOTH, run_with_input},
    programs, wait_for,
};

use super::requests;

const SOON: Duration = Duration::from_secs(30);

fn agent(sandbox: &Sandbox, directory: &Path, server: &str, token: &str) -> Command {
    let mut command = Command::new(programs::skep());
    // The bridge's own address: the host's. Nothing is made of it before the node has joined.
    let ip = server_address(sandbox)
        .rsplit_once(':')
        .expect("host and port")
        .0
        .to_owned();
    command
        .args([
            "agent",
            "--server",
            server,
            "--token",
            token,
            "--node-name",
            "stranger",
            "--node-ip",
            &ip,
        ])
        .arg("--data-dir")
        .arg(directory.join("agent"))
        .arg("--bpffs")
        .arg(directory.join("bpffs"));
    command
}

/// `IP:PORT` of the sandbox's server.
fn server_address(sandbox: &Sandbox) -> String {
    let kubeconfig = fs::read_to_string(sandbox.kubeconfig()).expect("read the kubeconfig");
    let line = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("server:"))
        .expect("a server in the kubeconfig");
    line.trim().trim_matches('"').trim_start_matches("https://").to_owned()
}

fn token_file(sandbox: &Sandbox) -> PathBuf {
    sandbox.data_dir().join("server/join-token")
}

/// A token that is none, one that the server does not know, one for another cluster.
pub(crate) fn refuse_wrong_tokens(sandbox: &Sandbox) {
    let token = fs::read_to_string(token_file(sandbox)).expect("read the join token");
    let (secret, pin) = token.trim().split_once(':').expect("secret and fingerprint");
    let unknown = format!("{}.{}:{pin}", &secret[..6], "0".repeat(16));
    let other_cluster = format!("{secret}:{}", "0".repeat(64));
    let https = format!("https://{}", server_address(sandbox));
    let rows = [
        (https.as_str(), "nonsense", "no \":\" with the fingerprint"),
        (&https, "short:0", "not 64 hexadecimal digits"),
        (&https, &unknown, "the server refused"),
        (&https, &other_cluster, "the token is for another cluster"),
        (
            "http://127.0.0.1:1",
            token.trim(),
            "give the server as https://ADDRESS:PORT",
        ),
    ];
    for (server, token, said) in rows {
        let directory = tempfile::tempdir().expect("make a directory");
        let heard = run_with_input(agent(sandbox, directory.path(), server, token), "");
        let all = format!("{}{}", heard.out, heard.err);
        assert!(
            !heard.success && all.contains(said),
            "{server} {token}: not said: {said}\n{all}"
        );
        assert!(!all.contains(&secret[7..]), "the secret is not repeated: {all}");
    }
    assert_eq!(sandbox.get(&["node", "stranger"]), None);
    for (words, said) in [
        ("agent", "--server"),
        (
            "agent --server https://127.0.0.1:1 --token-file /does/not/exist",
            "/does/not/exist",
        ),
        ("agent --server https://127.0.0.1:1 --token x --label =", "KEY=VALUE"),
        ("server --listen nowhere", "--listen"),
        ("server --service-node-port-range 10-9", "first port"),
        ("server --service-cidr 10.43.0.0", "--service-cidr"),
        ("server --node-grace-period soon", "--node-grace-period"),
        ("server --cluster-cidr 10.43.0.0/16", "overlaps --service-cidr"),
        ("server --encrypt nope", "--encrypt nope"),
        ("up --cluster-cidr 10.0.0.0/30", "--cluster-cidr"),
        ("up --cluster-dns 1.1.1.1", "--cluster-dns"),
        ("up --node-name Bad_", "--node-name"),
        ("up --listen 127.0.0.1:0", "--listen"),
        (
            "agent --server https://127.0.0.1:1 --token x --node-name Bad_",
            "--node-name",
        ),
        ("sandbox create --port 0", "--port"),
        ("up --listen nowhere", "--listen"),
        ("sandbox create --nodes 0", "--nodes"),
        ("sandbox create --nodes many", "--nodes"),
        ("sandbox create --name Bad_Name", "--name"),
        ("sandbox status --name no-such-sandbox", "no-such-sandbox"),
        ("sandbox exec --name no-such-sandbox x -- true", "no-such-sandbox"),
        ("completion tcsh", "tcsh"),
        (
            "image import /does/not/exist.tar --data-dir /proc/nowhere",
            "/proc/nowhere",
        ),
    ] {
        requests::refuse(&words.split(' ').collect::<Vec<_>>(), said);
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A new agent tries again and says so; a member does, too, and goes on where it was.
pub(crate) fn an_agent_waits_for_its_server(sandbox: &Sandbox) {
    let token = fs::read_to_string(token_file(sandbox)).expect("read the join token");
    let directory = tempfile::tempdir().expect("make a directory");
    let log = directory.path().join("log");
    let file = || {
        File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("open the log")
    };
    let mut command = agent(sandbox, directory.path(), "https://127.0.0.1:1", token.trim());
    let mut stranger = Running(
        command
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .spawn()
            .expect("start"),
    );
    wait_for("a new agent to try twice", SOON, || {
        let text = fs::read_to_string(&log).ok()?;
        let tries = text
            .lines()
            .filter(|line| line.contains("cannot join yet") && line.contains("retry_in_ms"))
            .count();
        (tries >= 2).then_some(())
    });
    assert!(matches!(stranger.0.try_wait(), Ok(None)), "it goes on trying");
    let pid = Pid::from_raw(stranger.0.id().try_into().expect("pids fit"));
    kill(pid, Signal::SIGTERM).expect("stop it");
    assert!(stranger.0.wait().expect("wait").success(), "stopping is no failure");

    let node = sandbox.node(1);
    let node_log = sandbox.data_dir().join(format!("logs/{node}.log"));
    let count = |what: &str| {
        fs::read_to_string(&node_log)
            .expect("read the log")
            .matches(what)
            .count()
    };
    let (before, connected) = (
        count("no connection to the control plane"),
        count("connected to the control plane"),
    );
    let (agent, pods) = (
        sandbox.pid(&node),
        sandbox.kubectl(&["get", "pods", "-A", "-o", "name"]),
    );
    tests::sandbox::run(sandbox.command(&["stop", "server"]));
    wait_for("the agent to say that it tries again", SOON, || {
        (count("no connection to the control plane") >= before + 2).then_some(())
    });
    for client in BOTH {
        let heard = client.run(&sandbox.kubeconfig(), &["get", "pods"], "");
        assert!(
            !heard.success && heard.err.contains("refused"),
            "{}: {heard:?}",
            client.name()
        );
    }
    tests::sandbox::run(sandbox.command(&["start", "server"]));
    wait_for("the agent to be connected again", SOON, || {
        (count("connected to the control plane") > connected).then_some(())
    });
    assert_eq!(sandbox.pid(&node), agent, "it is the same process");
    assert_eq!(sandbox.kubectl(&["get", "pods", "-A", "-o", "name"]), pods);
}
