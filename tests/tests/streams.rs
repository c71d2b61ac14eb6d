//! What travels through an agent's stream, with the real kubectl and with our own commands: exec, cp, attach,
//! port-forward; proxies.

#![allow(missing_docs, reason = "a test program")]

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tests::{
    Sandbox,
    clients::{BOTH, Client},
    images,
    sandbox::{SOON, run},
    wait_for,
};

/// More than all windows and pipes between both ends hold.
const LARGE_BYTES: usize = 24 << 20;

/// One cluster; each part leaves it as it was.
#[test]
fn streams_reach_into_pods() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    sandbox.apply(&pods());
    for pod in ["box", "stdin", "web"] {
        sandbox.wait_phase(pod, "Running");
    }
    for client in BOTH {
        let by = By {
            sandbox: &sandbox,
            client,
        };
        commands_are_run(&by);
        large_input_and_output_arrive_whole(&by);
        terminals_are_terminals(&by);
        files_are_copied(&by);
        attached_clients_share_the_streams(&by);
        ports_are_forwarded(&by);
    }
    older_clients_are_served(&sandbox);
    containers_of_their_own_are_attached_to(&sandbox);
    own_terminals_are_given_back(&sandbox);
    hostile_archives_are_refused(&sandbox);
    requests_are_passed_on(&sandbox);
    for client in BOTH {
        let by = By {
            sandbox: &sandbox,
            client,
        };
        slow_readers_hold_up_nobody(&by);
        an_agent_that_dies_ends_its_streams_and_the_next_has_others(&by);
    }
}

fn pods() -> serde_json::Value {
    let pod = |name: &str, container: serde_json::Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        })
    };
    let shell = |name: &str, script: &str| json!({"name": name, "image": images::BUSYBOX, "command": ["/bin/sh", "-c", script]});
    let mut asking = shell(
        "c",
        "echo begun; while read line; do echo \"got $line\"; done; echo over",
    );
    asking["stdin"] = json!(true);
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            pod("box", shell("c", "sleep 1000000")),
            pod("stdin", asking),
            pod("web", tests::workloads::web_container()),
        ],
    })
}

/// A cluster, and the client by which it is asked.
#[derive(Clone, Copy)]
struct By<'a> {
    sandbox: &'a Sandbox,
    client: Client,
}

impl By<'_> {
    fn command(&self, words: &[&str]) -> Command {
        self.client.command(&self.sandbox.kubeconfig(), words)
    }

    /// What it prints; it must succeed.
    #[track_caller]
    fn printed(&self, words: &[&str]) -> String {
        run(self.command(words))
    }
}

/// Runs a client with input; its exit code and what it printed.
#[track_caller]
fn said(by: &By<'_>, words: &[&str], input: &[u8]) -> Output {
    let mut child = start(by, words);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that reads only its beginning ends first.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("wait for kubectl");
    writer.join().expect("no panic");
    output
}

fn start(by: &By<'_>, words: &[&str]) -> Child {
    let mut command = by.command(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are not compressed away and not the same twice.
fn large() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(LARGE_BYTES);
    while bytes.len() < LARGE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn commands_are_run(by: &By<'_>) {
    // words, exit code, standard output, part of standard error
    let not_valid = "container nobody is not valid for pod box";
    for (words, code, out, err) in [
        ("exec box -- echo hello", 0, "hello\n", ""),
        ("exec box -c c -- sh -c 'echo out; echo err >&2'", 0, "out\n", "err\n"),
        (
            "exec box -- sh -c 'exit 7'",
            7,
            "",
            "command terminated with exit code 7",
        ),
        ("exec box -- sh -c 'kill -9 $$'", 137, "", "exit code 137"),
        (
            "exec box -- no-such-program",
            1,
            "",
            "exec: \"no-such-program\": no such file or directory",
        ),
        ("exec box -c nobody -- true", 1, "", not_valid),
        ("exec nobody -- true", 1, "", "pods \"nobody\" not found"),
        ("exec deploy/nobody -- true", 1, "", "not found"),
        ("exec box -- cat", 0, "", ""),
    ] {
        let words: Vec<&str> = split(words);
        let output = said(by, &words, b"not read");
        let said = (output.status.code(), text(&output.stdout), text(&output.stderr));
        let is_it = said.0 == Some(code) && said.1 == out && said.2.contains(err);
        assert!(is_it, "{words:?}: {said:?}");
    }
}

/// The same by the older protocol.
fn older_clients_are_served(sandbox: &Sandbox) {
    let mut spdy = sandbox.kubectl_command(&["exec", "-i", "box", "--", "sh", "-c", "cat; exit 3"]);
    spdy.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    let mut child = spdy
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kubectl");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"over SPDY")
        .expect("write");
    let output = child.wait_with_output().expect("wait for kubectl");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(3), "over SPDY".to_owned())
    );
}

/// Words; those in single quotes are one.
fn split(words: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for (number, part) in words.split('\'').enumerate() {
        match number % 2 {
            0 => parts.extend(part.split_whitespace()),
            _ => parts.push(part),
        }
    }
    parts
}

fn large_input_and_output_arrive_whole(by: &By<'_>) {
    let large = large();
    let back = said(by, &["exec", "-i", "box", "--", "cat"], &large);
    assert!(back.status.success(), "{}", text(&back.stderr));
    assert_eq!((back.stdout.len(), sum(&back.stdout)), (large.len(), sum(&large)));
    let counted = said(by, &["exec", "-i", "box", "--", "sha256sum"], &large);
    assert_eq!(text(&counted.stdout), format!("{}  -\n", sum(&large)));
    // A command that ends before its input does.
    let some = said(by, &["exec", "-i", "box", "--", "head", "-c", "5"], &large);
    assert_eq!((some.status.code(), some.stdout), (Some(0), large[..5].to_vec()));
}

/// A terminal of 40 columns and 20 rows; what is at the other end.
fn terminal() -> (File, OwnedFd) {
    let size = Winsize {
        ws_row: 20,
        ws_col: 40,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).expect("make a terminal");
    (File::from(pty.master), pty.slave)
}

/// Runs kubectl in a terminal, types, and returns what was shown.
fn in_terminal(by: &By<'_>, words: &[&str], typed: &str) -> String {
    let (mut master, slave) = terminal();
    let copy = || Stdio::from(slave.try_clone().expect("copy the terminal"));
    let mut command = by.command(words);
    let mut child = command
        .stdin(copy())
        .stdout(copy())
        .stderr(copy())
        .spawn()
        .expect("start the client");
    drop(command);
    drop(slave);
    master.write_all(typed.as_bytes()).expect("type");
    let mut shown = Vec::new();
    // The last one that has it open is kubectl; then reading fails.
    let mut buffer = [0; 4096];
    while let Ok(count) = master.read(&mut buffer) {
        if count == 0 {
            break;
        }
        shown.extend_from_slice(&buffer[..count]);
    }
    child.wait().expect("wait for kubectl");
    text(&shown)
}

/// Prints the size of the terminal, which comes when the process has begun; kubectl may tell what was typed before.
const SIZE: &str = "tries=0; until stty size 2>/dev/null || test $tries = 100; do tries=$((tries+1)); sleep 0.1; done";

fn terminals_are_terminals(by: &By<'_>) {
    let script =
        format!("tty; read line; echo \"read $line\"; {SIZE}; test -t 0 && test -t 1 && test -t 2 && echo all");
    let shown = in_terminal(by, &["exec", "-it", "box", "--", "sh", "-c", &script], "typed\n");
    for part in ["/dev/pts/", "20 40", "read typed", "all"] {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
}

/// A container of its own, whose first process has the terminal, or whose input ends with its client's.
fn containers_of_their_own_are_attached_to(sandbox: &Sandbox) {
    let by = &By {
        sandbox,
        client: Client::Kubectl,
    };
    let script = format!("read line; echo \"read $line\"; {SIZE}");
    let run = [
        "run",
        "tty",
        "-it",
        "--rm",
        "--restart=Never",
        "--image",
        images::BUSYBOX,
        "--",
        "sh",
        "-c",
        &script,
    ];
    let shown = in_terminal(by, &run, "typed\n");
    assert!(shown.contains("read typed") && shown.contains("20 40"), "{shown:?}");
    assert!(sandbox.get(&["pod", "tty"]).is_none(), "it was to be removed");
    // With stdinOnce the container's input ends with the first client's.
    let large = large();
    let run = [
        "run",
        "once",
        "-i",
        "--rm",
        "--quiet",
        "--restart=Never",
        "--image",
        images::BUSYBOX,
        "--",
        "sha256sum",
    ];
    let counted = said(by, &run, &large);
    assert_eq!(
        text(&counted.stdout),
        format!("{}  -\n", sum(&large)),
        "{}",
        text(&counted.stderr)
    );
    assert!(counted.status.success());
}

/// The terminal is raw while a command runs, and as it was when the command has ended, or we are ended.
fn own_terminals_are_given_back(sandbox: &Sandbox) {
    let by = By {
        sandbox,
        client: Client::Skep,
    };
    let modes = |terminal: &OwnedFd| {
        let modes = tcgetattr(terminal).expect("ask the terminal");
        let flags = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
        modes.local_flags.intersection(flags)
    };
    let (_master, slave) = terminal();
    let before = modes(&slave);
    assert!(!before.is_empty());
    // script, signal, exit code
    for (script, signal, code) in [
        ("sleep 1; exit 5", None, 5),
        ("sleep 1000", Some(Signal::SIGTERM), 143),
        ("sleep 1000", Some(Signal::SIGHUP), 129),
    ] {
        let copy = || Stdio::from(slave.try_clone().expect("copy the terminal"));
        let mut command = by.command(&["exec", "-it", "box", "--", "sh", "-c", script]);
        command.stdin(copy()).stdout(copy()).stderr(copy());
        let mut child = command.spawn().expect("start skep");
        wait_for("the terminal to be raw", SOON, || {
            modes(&slave).is_empty().then_some(())
        });
        if let Some(signal) = signal {
            let pid = i32::try_from(child.id()).expect("a process id");
            kill(Pid::from_raw(pid), signal).expect("send a signal");
        }
        let status = child.wait().expect("wait for skep");
        assert_eq!(
            (status.code(), modes(&slave)),
            (Some(code), before),
            "{script} {signal:?}"
        );
    }
}

/// A `tar` that makes what it likes, in a container.
fn hostile_archives_are_refused(sandbox: &Sandbox) {
    let by = By {
        sandbox,
        client: Client::Skep,
    };
    let script = "mkdir -p /tmp/hostile/dir && cd /tmp/hostile && echo good > dir/good && ln -s / dir/link \
        && echo evil > evil && mkdir -p a/b";
    by.printed(&["exec", "box", "--", "sh", "-c", script]);
    let target = sandbox.work_dir().join("hostile");
    let copy = ["cp", "box:/tmp/hostile/dir", &target.to_string_lossy()];
    let copied = said(&by, &copy, b"");
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let warned = text(&copied.stderr);
    assert!(warned.contains("warning: skipping symlink"), "{warned}");
    let names: Vec<_> = std::fs::read_dir(&target)
        .expect("list")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["good"]);
    // words, part of standard error
    for (words, err) in [
        ("cp box:/no/such/file /tmp/x", "No such file"),
        ("cp /no/such/file box:/tmp/x", "doesn't exist in local filesystem"),
        (
            "cp box:/a box:/b",
            "one of src or dest must be a local file specification",
        ),
        ("cp /etc/hostname box:/no/such/directory/x", "no/such/directory"),
    ] {
        let words = split(words);
        let output = said(&by, &words, b"");
        let refused = !output.status.success() && text(&output.stderr).contains(err);
        assert!(refused, "{words:?}: {:?} {}", output.status, text(&output.stderr));
    }
}

fn files_are_copied(by: &By<'_>) {
    let large = large();
    let work = by.sandbox.work_dir().join(by.client.name());
    std::fs::create_dir(&work).expect("make a directory");
    let (there, back) = (work.join("there"), work.join("back"));
    let copied = format!("/tmp/copied-{}", by.client.name());
    std::fs::create_dir(&there).expect("make a directory");
    std::fs::write(there.join("large"), &large).expect("write");
    std::fs::write(there.join("small"), "small\n").expect("write");
    by.printed(&["cp", &there.to_string_lossy(), &format!("box:{copied}")]);
    let sums = by.printed(&[
        "exec",
        "box",
        "--",
        "sha256sum",
        &format!("{copied}/large"),
        &format!("{copied}/small"),
    ]);
    assert!(sums.contains(&sum(&large)) && sums.contains(&sum(b"small\n")), "{sums}");
    by.printed(&["cp", &format!("box:{copied}"), &back.to_string_lossy()]);
    assert_eq!(sum(&std::fs::read(back.join("large")).expect("read")), sum(&large));
    assert_eq!(std::fs::read_to_string(back.join("small")).expect("read"), "small\n");
}

fn attached_clients_share_the_streams(by: &By<'_>) {
    let mut first = start(by, &["attach", "-i", "stdin"]);
    let mut lines = BufReader::new(first.stdout.take().expect("piped")).lines();
    let mut input = first.stdin.take().expect("piped");
    // The first line that is read shows that the client is attached.
    input.write_all(b"one\n").expect("write");
    assert_eq!(lines.next().expect("a line").expect("text"), "got one");
    drop(input);
    // Standard input stays open for the next; the container goes on, and the client follows its output.
    let second = said_until(by, &["attach", "-i", "stdin"], b"two\n", "got two");
    assert!(second.contains("got two"), "{second}");
    assert_eq!(lines.next().expect("a line").expect("text"), "got two");
    first.kill().expect("kill kubectl");
    first.wait().expect("wait for kubectl");
    let log = by.printed(&["logs", "stdin", "--tail=2"]);
    assert_eq!(log, "got one\ngot two\n");
    let refused = said(by, &["attach", "nobody"], b"");
    assert!(text(&refused.stderr).contains("pods \"nobody\" not found"));
}

/// Runs kubectl until it has printed something, and kills it; returns what it printed.
fn said_until(by: &By<'_>, words: &[&str], input: &[u8], wanted: &str) -> String {
    let mut child = start(by, words);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input).expect("write");
    let mut printed = String::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        printed.push_str(&line.expect("text"));
        printed.push('\n');
        if printed.contains(wanted) {
            break;
        }
    }
    child.kill().expect("kill kubectl");
    child.wait().expect("wait for kubectl");
    printed
}

/// `kubectl port-forward`, while it runs.
struct Forward {
    child: Child,
    port: u16,
}

impl Forward {
    fn start(by: &By<'_>, target: &str, port: u16) -> Forward {
        let mut child = start(by, &["port-forward", target, &format!(":{port}")]);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let local = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{line:?}"));
        // Kept open, or kubectl dies of what it prints.
        std::thread::spawn(move || for _ in lines {});
        Forward { child, port: local }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to kubectl");
        stream.set_read_timeout(Some(SOON)).expect("set a timeout");
        stream
    }

    /// One HTTP request on a connection of its own; the answer's last line.
    fn get(&self) -> String {
        let mut stream = self.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").expect("send");
        // The server answers, and goes when it has read the end.
        stream.shutdown(Shutdown::Write).expect("end our side");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ports_are_forwarded(by: &By<'_>) {
    let forward = Forward::start(by, "pod/web", 8080);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| forward.get())).collect();
        for client in clients {
            assert_eq!(client.join().expect("no panic"), "web");
        }
    });
    drop(forward);
    // Nobody listens: the connection ends, and kubectl says why.
    let mut refused = Forward::start(by, "pod/web", 9);
    let mut nothing = Vec::new();
    refused.connect().read_to_end(&mut nothing).ok();
    assert!(nothing.is_empty());
    let mut said = String::new();
    let mut stderr = BufReader::new(refused.child.stderr.take().expect("piped"));
    while !said.contains("connection refused") && stderr.read_line(&mut said).expect("text") > 0 {}
    assert!(said.contains("connection refused"), "{said}");
}

fn requests_are_passed_on(sandbox: &Sandbox) {
    sandbox.apply(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }));
    let get = |path: &str| {
        let path = format!("/api/v1/namespaces/default/{path}");
        sandbox
            .kubectl_command(&["get", "--raw", &path])
            .output()
            .expect("start kubectl")
    };
    wait_for("the service to have an endpoint", SOON, || {
        (text(&get("services/web:http/proxy/").stdout) == "web\n").then_some(())
    });
    // path, standard output, part of standard error
    for (path, out, err) in [
        ("pods/web:8080/proxy/", "web\n", ""),
        ("pods/http:web:8080/proxy/some/path?query=1", "web\n", ""),
        ("services/http:web:80/proxy/", "web\n", ""),
        (
            "services/web:81/proxy/",
            "",
            "no service port 81 found for service \"web\"",
        ),
        ("pods/web:9/proxy/", "", "connection refused"),
        ("pods/nobody:80/proxy/", "", "pods \"nobody\" not found"),
    ] {
        let output = get(path);
        let said = (text(&output.stdout), text(&output.stderr));
        assert!(said.0 == out && said.1.contains(err), "{path}: {said:?}");
    }
    sandbox.kubectl(&["delete", "service", "web"]);
}

/// A reader that reads nothing, of a command that prints without end.
struct SlowReader(Child);

impl SlowReader {
    fn start(by: &By<'_>, words: &[&str]) -> SlowReader {
        SlowReader(start(by, words))
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn slow_readers_hold_up_nobody(by: &By<'_>) {
    let slow: Vec<SlowReader> = (0..3)
        .map(|_| SlowReader::start(by, &["exec", "box", "--", "cat", "/dev/zero"]))
        .collect();
    let processes = || by.printed(&["exec", "box", "--", "sh", "-c", "ps | grep -c '[c]at /dev/zero'; true"]);
    wait_for("the readers to be slow", SOON, || {
        (processes().trim() == "3").then_some(())
    });
    // Long enough for everything on the way to be full.
    std::thread::sleep(Duration::from_secs(3));
    let large = large();
    let began = Instant::now();
    let back = said(by, &["exec", "-i", "box", "--", "cat"], &large);
    assert_eq!(sum(&back.stdout), sum(&large));
    assert_eq!(by.printed(&["logs", "stdin", "--tail=1"]), "got two\n");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(slow);
    // Their commands find nobody to write to.
    wait_for("the commands to end", SOON, || {
        (processes().trim() == "0").then_some(())
    });
}

fn an_agent_that_dies_ends_its_streams_and_the_next_has_others(by: &By<'_>) {
    let node = by.sandbox.node(1);
    let mut exec = start(by, &["exec", "-i", "box", "--", "sh", "-c", "echo begun; cat"]);
    let input = exec.stdin.take().expect("piped");
    let mut lines = BufReader::new(exec.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "begun");
    let forward = Forward::start(by, "pod/web", 8080);
    let mut open = forward.connect();
    by.sandbox.kill_and_wait(&node);
    let (told, ended) = mpsc::channel();
    std::thread::spawn(move || told.send(exec.wait_with_output()));
    let output = ended
        .recv_timeout(SOON)
        .expect("kubectl ends")
        .expect("wait for kubectl");
    drop(input);
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("the connection to the node ended"),
        "{}",
        text(&output.stderr)
    );
    // The connection to the port has ended too.
    open.set_read_timeout(Some(SOON)).expect("set a timeout");
    assert_eq!(open.read(&mut [0; 16]).unwrap_or(0), 0);
    let again = wait_for("the node to be back", SOON, || {
        let output = by.command(&["exec", "box", "--", "echo", "again"]).output();
        output.ok().filter(|output| output.status.success())
    });
    assert_eq!(text(&again.stdout), "again\n");
    let pod = by.sandbox.get(&["pod", "box"]).expect("the pod is there");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}
