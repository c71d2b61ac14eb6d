//! kubectl's commands, one after another, against one cluster: how each ends, what it says, and what is there after it.
//!
//! What `commands.rs` compares between `skep` and kubectl is not said again. Left out: what asks no server (`config`,
//! `completion`, `plugin`, `kustomize`, `options`).

#![allow(missing_docs, reason = "a test program")]

#[path = "transcript/cluster.rs"]
mod cluster;
#[path = "transcript/objects.rs"]
mod objects;
#[path = "transcript/pods.rs"]
mod pods;
#[path = "transcript/rollouts.rs"]
mod rollouts;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tests::{
    Sandbox,
    clients::{Said, run_with_input},
};

/// How long what a command has set going may take.
const EFFECT_WITHIN: Duration = Duration::from_secs(30);
/// The namespace of all commands that name none.
const NAMESPACE: &str = "transcript";

/// All of it in one cluster; every command that goes wrong is told of at the end.
#[test]
fn kubectl_does_what_it_does_with_kubernetes() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    sandbox.kubectl(&["create", "namespace", NAMESPACE]);
    let mut wrong = part(&sandbox, &[objects::created]);
    // Each with objects of its own.
    thread::scope(|scope| {
        let beside = scope.spawn(|| part(&sandbox, &[pods::entered, rollouts::deployments]));
        wrong.extend(part(
            &sandbox,
            &[
                objects::applied,
                objects::changed,
                cluster::asked,
                cluster::access,
                cluster::certificates,
            ],
        ));
        wrong.extend(beside.join().expect("it does not panic"));
    });
    wrong.extend(part(&sandbox, &[objects::deleted, rollouts::nodes]));
    assert!(
        wrong.is_empty(),
        "{} went wrong:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// Some of the commands, in order; returns what went wrong.
fn part(sandbox: &Sandbox, all: &[fn(&mut Transcript<'_>)]) -> Vec<String> {
    let mut transcript = Transcript {
        sandbox,
        wrong: Vec::new(),
    };
    for run in all {
        run(&mut transcript);
    }
    transcript.wrong
}

/// A command of kubectl, and what must come of it.
struct Step {
    words: String,
    input: String,
    succeeds: bool,
    /// Texts that its output (of both kinds) holds.
    says: Vec<String>,
    /// Texts that it does not hold.
    never: Vec<String>,
    /// Words for `kubectl get`, and what that prints after it, sooner or later.
    then: Option<(String, String)>,
}

/// A command that succeeds. Words are parted by blanks, except within `'…'`.
fn works(words: impl Into<String>) -> Step {
    Step {
        words: words.into(),
        input: String::new(),
        succeeds: true,
        says: Vec::new(),
        never: Vec::new(),
        then: None,
    }
}

/// A command that fails, and what it says.
fn fails(words: impl Into<String>, says: &str) -> Step {
    Step {
        succeeds: false,
        ..works(words).says(&[says])
    }
}

impl Step {
    fn input(mut self, text: impl Into<String>) -> Self {
        self.input = text.into();
        self
    }

    fn says(mut self, texts: &[&str]) -> Self {
        self.says.extend(texts.iter().map(|text| (*text).to_owned()));
        self
    }

    fn never(mut self, texts: &[&str]) -> Self {
        self.never.extend(texts.iter().map(|text| (*text).to_owned()));
        self
    }

    fn then(mut self, get: impl Into<String>, prints: impl Into<String>) -> Self {
        self.then = Some((get.into(), prints.into()));
        self
    }
}

/// The commands so far.
struct Transcript<'a> {
    sandbox: &'a Sandbox,
    wrong: Vec<String>,
}

impl Transcript<'_> {
    /// Files that commands name without a directory.
    fn file(&self, name: &str, content: &str) {
        fs::write(self.sandbox.work_dir().join(name), content).expect("write a file");
    }

    /// kubectl in the directory of [`Transcript::file`].
    fn command(&self, words: &str) -> Command {
        let mut command = self.sandbox.kubectl_command(&["-n", NAMESPACE]);
        command.args(split(words)).current_dir(self.sandbox.work_dir());
        command
    }

    fn run(&mut self, steps: Vec<Step>) {
        for step in steps {
            let said = run_with_input(self.command(&step.words), &step.input);
            self.judge(&step, &said);
        }
    }

    fn judge(&mut self, step: &Step, said: &Said) {
        let output = format!("{}{}", said.out, said.err);
        let mut faults = Vec::new();
        if said.success != step.succeeds {
            faults.push(format!("ends with success: {}", said.success));
        }
        let lacks = step.says.iter().filter(|text| !output.contains(text.as_str()));
        faults.extend(lacks.map(|text| format!("does not say {text:?}")));
        let holds = step.never.iter().filter(|text| output.contains(text.as_str()));
        faults.extend(holds.map(|text| format!("says {text:?}")));
        // What a command that failed has not done is not waited for.
        if let Some((get, prints)) = step.then.as_ref().filter(|_| faults.is_empty()) {
            faults.extend(self.get_until(get, prints));
        }
        if !faults.is_empty() {
            self.wrong
                .push(format!("kubectl {}\n  {}\n{output}", step.words, faults.join("\n  ")));
        }
    }

    /// Gets until it prints that, or says what it prints instead.
    fn get_until(&self, get: &str, prints: &str) -> Option<String> {
        let deadline = Instant::now() + EFFECT_WITHIN;
        loop {
            let said = run_with_input(self.command(&format!("get {get}")), "");
            if said.out.trim() == prints {
                return None;
            }
            if Instant::now() > deadline {
                return Some(format!("then get {get}: {prints:?} expected, {said:?} given"));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Words of a line: parted by blanks, except within `'…'`.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
