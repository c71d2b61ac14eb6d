//! The real helm: charts from a directory, an archive, a repository and a registry, through their whole life.

#![allow(missing_docs, reason = "a test program")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;
use tests::{Sandbox, programs, sandbox::SOON, wait_for, workloads::Counts};

/// Helm for one cluster, with a home of its own.
struct Helm {
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(programs::helm());
        command.args(words).env("KUBECONFIG", &self.kubeconfig);
        for (variable, directory) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(variable, self.home.join(directory));
        }
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        tests::sandbox::run(self.command(words))
    }

    fn json(&self, words: &[&str]) -> Value {
        let words = [words, &["--output", "json"]].concat();
        serde_json::from_str(&self.run(&words)).expect("helm prints JSON")
    }
}

/// Copies a chart, so that what helm writes into it does not stay.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a directory");
    for entry in fs::read_dir(from).expect("list a chart") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy a file");
        }
    }
}

#[test]
fn a_release_lives_through_all_verbs() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let home = sandbox.work_dir().join("helm");
    let charts = home.join("charts");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("charts"), &charts);
    let helm = Helm {
        kubeconfig: sandbox.kubeconfig(),
        home: home.clone(),
    };
    let app = charts.join("app");
    let app = app.to_str().expect("UTF-8");
    helm.run(&["dependency", "update", app]);
    from_a_directory(&sandbox, &helm, app);

    let archives = home.join("archives");
    fs::create_dir_all(&archives).expect("make a directory");
    let archives_text = archives.to_str().expect("UTF-8");
    helm.run(&["package", app, "--destination", archives_text]);
    let archive = archives.join("app-0.1.0.tgz");
    let archive = archive.to_str().expect("UTF-8");
    comes_and_goes(&sandbox, &helm, "packed", archive, &[]);

    let repository = serve_files(archives.clone());
    helm.run(&["repo", "index", archives_text, "--url", &repository]);
    helm.run(&["repo", "add", "here", &repository]);
    comes_and_goes(&sandbox, &helm, "fetched", "here/app", &[]);

    let registry = Registry::start(&home);
    let charts = format!("oci://{}/charts", registry.address);
    helm.run(&["push", archive, &charts, "--plain-http"]);
    comes_and_goes(
        &sandbox,
        &helm,
        "pulled",
        &format!("{charts}/app"),
        &["--plain-http", "--version", "0.1.0"],
    );
}

fn from_a_directory(sandbox: &Sandbox, helm: &Helm, chart: &str) {
    let wait = ["--wait", "--timeout", "2m"];
    helm.run(&[&["install", "web", chart][..], &wait].concat());
    let ready = || sandbox.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"]);
    assert_eq!(ready(), "1");
    assert_eq!(
        sandbox.kubectl(&["get", "widget", "web", "-o", "jsonpath={.spec.size}"]),
        "1"
    );
    assert_eq!(
        sandbox.kubectl(&["get", "configmap", "web-settings", "-o", "jsonpath={.data.color}"]),
        "green",
        "what the chart depends on is installed too"
    );
    assert_eq!(
        sandbox.kubectl(&["logs", "web-before"]).trim(),
        "before web",
        "the hook has run"
    );
    assert_eq!(helm.json(&["status", "web"])["info"]["status"], "deployed");
    let tested = helm.run(&["test", "web"]);
    assert!(tested.contains("Succeeded"), "{tested}");
    let counts = Counts::last_of(&sandbox.kubectl(&["logs", "web-answers"])).expect("the client counts");
    assert_eq!((counts.requests, counts.failed), (5, 0));

    helm.run(
        &[
            &["upgrade", "web", chart, "--set", "replicas=3", "--set", "greeting=hi"][..],
            &wait,
        ]
        .concat(),
    );
    assert_eq!(ready(), "3");
    assert_eq!(
        sandbox.kubectl(&["get", "widget", "web", "-o", "jsonpath={.spec.size}"]),
        "3"
    );
    let greeting = || {
        sandbox.kubectl(&[
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.metadata.annotations.greeting}",
        ])
    };
    assert_eq!(greeting(), "hi");
    let refused = helm
        .command(&["upgrade", "web", chart, "--set", "replicas=-1"])
        .output()
        .expect("run helm");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("greater than or equal to"),
        "{said}"
    );

    helm.run(&[&["rollback", "web", "1"][..], &wait].concat());
    assert_eq!(greeting(), "hello");
    wait_for("the deployment to shrink", SOON, || (ready() == "1").then_some(()));
    let history = helm.json(&["history", "web"]);
    let states: Vec<&str> = history
        .as_array()
        .expect("a list")
        .iter()
        .map(|revision| revision["status"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(states, ["superseded", "superseded", "failed", "deployed"]);
    assert_eq!(helm.json(&["list"])[0]["name"], "web");

    helm.run(&["uninstall", "web", "--wait"]);
    nothing_is_left(sandbox, helm, "web");
}

/// Installs from anywhere, and uninstalls.
fn comes_and_goes(sandbox: &Sandbox, helm: &Helm, release: &str, chart: &str, flags: &[&str]) {
    helm.run(&[&["install", release, chart, "--wait", "--timeout", "2m"][..], flags].concat());
    let ready = sandbox.kubectl(&["get", "deployment", release, "-o", "jsonpath={.status.readyReplicas}"]);
    assert_eq!(ready, "1", "{release}");
    helm.run(&["uninstall", release, "--wait"]);
    nothing_is_left(sandbox, helm, release);
}

fn nothing_is_left(sandbox: &Sandbox, helm: &Helm, release: &str) {
    assert_eq!(helm.json(&["list", "--all-namespaces"]), Value::Array(Vec::new()));
    for kind in ["deployments", "replicasets", "services", "widgets", "configmaps"] {
        let names = sandbox.kubectl(&["get", kind, "-o", "name"]);
        assert!(!names.contains(&format!("/{release}")), "{kind} of {release}: {names}");
    }
}

/// Serves a directory by HTTP for as long as the test runs; answers its URL.
fn serve_files(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &directory);
        }
    });
    url
}

fn answer(mut stream: TcpStream, directory: &Path) {
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    if reader.read_line(&mut line).is_err() {
        return;
    }
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
            break;
        }
    }
    let name = line
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    let (status, body) = match fs::read(directory.join(&name)) {
        Ok(body) if !name.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A client that has gone is its own loss.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// A registry on the loopback interface; ends with it.
struct Registry {
    address: String,
    process: Child,
}

impl Registry {
    fn start(home: &Path) -> Registry {
        // Free a moment ago; nobody else takes ports here while tests run one after the other.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port").to_string();
        let config = home.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{address}\" }}\n",
            home.join("registry").display()
        );
        fs::write(&config, text).expect("write the registry's configuration");
        let process = Command::new(programs::registry())
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the registry");
        let registry = Registry { address, process };
        wait_for("the registry to answer", SOON, || {
            let mut stream = TcpStream::connect(&registry.address).ok()?;
            stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.contains(" 200 ").then_some(())
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
