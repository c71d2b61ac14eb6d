//! Carries out the machine's actions: spawns, signals, waits for ends and timers.
//!
//! One task per process; nothing polls but the wait for a file that a process needs before its first start.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    ProcessId,
    machine::{self, Action, Event, State},
};

/// How often a file that a process needs is looked for, until it is there.
const REQUIRED_FILE_INTERVAL: Duration = Duration::from_millis(100);
/// A log file longer than this is set aside (one predecessor is kept) when its process starts anew.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Requests that may wait for one process: a person's, so a few.
const REQUESTS_MAX: usize = 16;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// "server", or the node's name for an agent.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<OsString>,
    /// Where its output goes.
    pub(crate) output: Output,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// A file that another process makes and this one needs: it is not started before the file is there.
    pub(crate) requires: Option<PathBuf>,
}

/// Where a process writes, and which process group it belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Our own output, our own group.
    Inherited,
    /// A file, appended to; a group of its own.
    Log(PathBuf),
}

/// What is known of a supervised process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) restarts: u32,
    /// How it ended last, in words.
    pub(crate) last_end: Option<String>,
}

/// How supervision of a unit begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supervised {
    /// Start it.
    Started,
    /// Leave it stopped until asked.
    Stopped,
    /// It runs already: watch it.
    Adopted(ProcessId),
}

enum Request {
    Start(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// Hears what becomes of the unit at a place.
pub(crate) type Publish = Arc<dyn Fn(usize, &Report) + Send + Sync>;

/// The processes under supervision.
pub(crate) struct Supervisor {
    requests: Vec<mpsc::Sender<Request>>,
    tasks: JoinSet<()>,
    ending: CancellationToken,
}

impl Supervisor {
    /// Starts supervision. `publish` hears of every change, with the unit's place in `units`, before whoever asked for
    /// it is answered.
    pub(crate) fn start(units: Vec<(Unit, Supervised)>, publish: Publish) -> Self {
        Self::start_until(units, publish, CancellationToken::new())
    }

    /// As [`Self::start`]; once `ending` is cancelled, no unit that ends is started again. Units in our own process group
    /// get the signals of a terminal as we do, and may end before [`Self::shut_down`] asks them to.
    pub(crate) fn start_until(units: Vec<(Unit, Supervised)>, publish: Publish, ending: CancellationToken) -> Self {
        let mut requests = Vec::new();
        let mut tasks = JoinSet::new();
        for (index, (unit, supervised)) in units.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
            requests.push(sender);
            let publish = Arc::clone(&publish);
            let task = Task::new(unit, Box::new(move |report| publish(index, report)), ending.clone());
            tasks.spawn(task.run(supervised, receiver));
        }
        Self {
            requests,
            tasks,
            ending,
        }
    }

    /// Returns once the unit runs, or its start failed and will be tried again.
    pub(crate) async fn start_unit(&self, index: usize) {
        self.ask(index, Request::Start).await;
    }

    /// Returns once the unit has ended.
    pub(crate) async fn stop_unit(&self, index: usize) {
        self.ask(index, Request::Stop).await;
    }

    async fn ask(&self, index: usize, request: fn(oneshot::Sender<()>) -> Request) {
        let (answer, answered) = oneshot::channel();
        if self.requests[index].send(request(answer)).await.is_ok() {
            // The task lives as long as we hold its sender; an answer that is dropped means it is shutting down.
            let _ = answered.await;
        }
    }

    /// Stops every unit, last first, and ends supervision.
    pub(crate) async fn shut_down(mut self) {
        self.ending.cancel();
        for index in (0..self.requests.len()).rev() {
            self.stop_unit(index).await;
        }
        self.requests.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Task {
    unit: Unit,
    publish: Box<dyn Fn(&Report) + Send>,
    epoch: Instant,
    report: Report,
    /// The process, if it is a child of ours; an adopted one is not.
    child: Option<Child>,
    ended: Option<AsyncFd<std::os::fd::OwnedFd>>,
    waiting: Vec<oneshot::Sender<()>>,
    /// Nothing is started again from then on.
    ending: CancellationToken,
}

impl Task {
    fn new(unit: Unit, publish: Box<dyn Fn(&Report) + Send>, ending: CancellationToken) -> Self {
        let report = Report {
            state: State::Stopped,
            restarts: 0,
            last_end: None,
        };
        Self {
            unit,
            publish,
            epoch: Instant::now(),
            report,
            child: None,
            ended: None,
            waiting: Vec::new(),
            ending,
        }
    }

    async fn run(mut self, supervised: Supervised, mut requests: mpsc::Receiver<Request>) {
        match supervised {
            Supervised::Stopped => (self.publish)(&self.report),
            Supervised::Adopted(process) => self.adopt(process),
            Supervised::Started => {
                if !self.required_file(&mut requests).await {
                    return;
                }
            }
        }
        loop {
            let timer = self.report.state.timer_ms();
            tokio::select! {
                request = requests.recv() => match request {
                    None => return,
                    Some(Request::Start(answer)) => { self.waiting.push(answer); self.handle(Event::StartAsked); }
                    Some(Request::Stop(answer)) => { self.waiting.push(answer); self.handle(Event::StopAsked); }
                },
                () = has_ended(self.ended.as_ref()), if self.ended.is_some() => {
                    // The signal that ended it may be ours, too, and has then arrived by now: who waits for it is heard
                    // first.
                    tokio::task::yield_now().await;
                    if self.ending.is_cancelled() {
                        self.handle(Event::StopAsked);
                    }
                    self.reap();
                }
                () = sleep_until(self.epoch, timer), if timer.is_some() => {
                    let is_restart = matches!(self.report.state, State::Waiting { .. });
                    self.handle(match self.ending.is_cancelled() && is_restart {
                        true => Event::StopAsked,
                        false => Event::TimerElapsed,
                    });
                }
            }
        }
    }

    /// Waits for the file that the unit needs, then starts it. False if supervision ended meanwhile.
    async fn required_file(&mut self, requests: &mut mpsc::Receiver<Request>) -> bool {
        self.report.state = State::Starting { failures: 0 };
        (self.publish)(&self.report);
        while let Some(file) = &self.unit.requires {
            if file.exists() {
                break;
            }
            tokio::select! {
                request = requests.recv() => match request {
                    None => return false,
                    Some(Request::Start(answer)) => { let _ = answer.send(()); }
                    Some(Request::Stop(answer)) => {
                        self.waiting.push(answer);
                        self.handle(Event::StopAsked);
                        return true;
                    }
                },
                () = tokio::time::sleep(REQUIRED_FILE_INTERVAL) => {}
            }
        }
        self.report.state = State::Stopped;
        self.handle(Event::StartAsked);
        true
    }

    fn adopt(&mut self, process: ProcessId) {
        self.report.state = State::Running {
            process,
            since_ms: 0,
            failures: 0,
        };
        match self.watch(process) {
            Ok(true) => {
                info!(unit = self.unit.name, pid = process.pid, "adopted");
                (self.publish)(&self.report);
            }
            // It ended between being looked at and being watched.
            Ok(false) => self.handle(Event::Exited),
            Err(error) => {
                warn!(
                    unit = self.unit.name,
                    error = &error as &dyn std::error::Error,
                    "watch process failed"
                );
                self.handle(Event::Exited);
            }
        }
    }

    /// Takes an event in, carries out what follows, and answers whoever waits once the state has settled.
    fn handle(&mut self, event: Event) {
        let mut event = Some(event);
        while let Some(next) = event.take() {
            let grace_ms = u64::try_from(self.unit.grace.as_millis()).unwrap_or(u64::MAX);
            let (state, action) = machine::step(self.report.state, next, self.now_ms(), grace_ms);
            self.report.state = state;
            event = match action {
                Action::None => None,
                Action::Spawn => Some(self.spawn()),
                Action::Terminate(process) => self.signal(process, Signal::TERM),
                Action::Kill(process) => self.signal(process, Signal::KILL),
            };
        }
        (self.publish)(&self.report);
        if matches!(
            self.report.state,
            State::Stopped | State::Running { .. } | State::Waiting { .. }
        ) {
            for answer in self.waiting.drain(..) {
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn spawn(&mut self) -> Event {
        match self.try_spawn() {
            Ok(process) => {
                info!(unit = self.unit.name, pid = process.pid, "started");
                Event::Spawned(process)
            }
            Err(error) => {
                warn!(
                    unit = self.unit.name,
                    error = &error as &dyn std::error::Error,
                    "start failed"
                );
                self.report.last_end = Some(format!("could not be started: {error}"));
                self.report.restarts = self.report.restarts.saturating_add(1);
                Event::SpawnFailed
            }
        }
    }

    fn try_spawn(&mut self) -> io::Result<ProcessId> {
        let (program, arguments) = self
            .unit
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("the unit has no program"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        if let Output::Log(path) = &self.unit.output {
            let log = open_log(path)?;
            command.stdout(log.try_clone()?).stderr(log).process_group(0);
        }
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // An ended child stays a zombie until we reap it, so its pid is not reused before that.
        let Some(process) = ProcessId::of(pid) else {
            let status = child.wait()?;
            return Err(io::Error::other(format!("ended at once: {status}")));
        };
        match self.watch(process) {
            Ok(true) => {
                self.child = Some(child);
                Ok(process)
            }
            Ok(false) => {
                let status = child.wait()?;
                Err(io::Error::other(format!("ended at once: {status}")))
            }
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// False if the process has ended.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe, for types that may change their descriptor; this one cannot"
    )]
    fn watch(&mut self, process: ProcessId) -> io::Result<bool> {
        self.ended = process.open()?.map(AsyncFd::new).transpose()?;
        Ok(self.ended.is_some())
    }

    fn reap(&mut self) {
        self.ended = None;
        let end = match self.child.take().map(|mut child| child.wait()) {
            Some(Ok(status)) => status.to_string(),
            Some(Err(error)) => format!("ended; {error}"),
            None => "ended".to_owned(),
        };
        match self.report.state {
            State::Stopping { .. } => info!(unit = self.unit.name, end, "stopped"),
            State::Stopped | State::Starting { .. } | State::Running { .. } | State::Waiting { .. } => {
                warn!(unit = self.unit.name, end, "died; it is started again");
                self.report.restarts = self.report.restarts.saturating_add(1);
            }
        }
        self.report.last_end = Some(end);
        self.handle(Event::Exited);
    }

    fn signal(&self, process: ProcessId, signal: Signal) -> Option<Event> {
        if let Err(error) = process.signal(signal) {
            warn!(
                unit = self.unit.name,
                pid = process.pid,
                error = &error as &dyn std::error::Error,
                "signal failed"
            );
        }
        None
    }
}

async fn has_ended(handle: Option<&AsyncFd<std::os::fd::OwnedFd>>) {
    match handle {
        Some(handle) => drop(handle.readable().await),
        None => std::future::pending().await,
    }
}

async fn sleep_until(epoch: Instant, at_ms: Option<u64>) {
    match at_ms {
        Some(at_ms) => tokio::time::sleep_until((epoch + Duration::from_millis(at_ms)).into()).await,
        None => std::future::pending().await,
    }
}

fn open_log(path: &std::path::Path) -> io::Result<std::fs::File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::signal::unix::{SignalKind, signal};

    use super::*;

    /// What a terminal does on Ctrl-C: the process and its supervisor get the same signal at once, and the process may
    /// be the quicker to end.
    #[test]
    fn a_process_that_ends_by_a_signal_that_is_ours_too_is_not_started_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (states, changed) = mpsc::unbounded_channel();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&reports);
        let publish: Publish = Arc::new(move |_, report| {
            heard.lock().expect("nobody panics").push(report.clone());
            // The test may have ended.
            let _ = states.send(report.state);
        });
        runtime.block_on(async {
            let mut changed = changed;
            // A signal that nothing else in this program uses.
            let mut ours = signal(SignalKind::user_defined2()).expect("listen");
            let ending = CancellationToken::new();
            let unit = Unit {
                name: "sleeper".to_owned(),
                command: ["sleep", "1000"].map(OsString::from).to_vec(),
                output: Output::Inherited,
                grace: Duration::from_secs(10),
                requires: None,
            };
            let supervisor = Supervisor::start_until(vec![(unit, Supervised::Started)], publish, ending.clone());
            let process = loop {
                if let Some(State::Running { process, .. }) = changed.recv().await {
                    break process;
                }
            };
            let listening = tokio::spawn(async move {
                ours.recv().await;
                ending.cancel();
            });
            // It waits when this goes on, and both ends come to the runtime at once.
            tokio::task::yield_now().await;
            let handle = process.open().expect("open").expect("it runs");
            // To this very thread, as a program's only one gets it: it is taken in before anything else.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).expect("signal");
            process.signal(Signal::USR2).expect("signal");
            rustix::event::poll(
                &mut [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)],
                None,
            )
            .expect("wait for its end");
            listening.await.expect("it was signalled");
            supervisor.shut_down().await;
        });
        let reports = reports.lock().expect("nobody panics");
        let last = reports.last().expect("something happened");
        assert_eq!((last.state, last.restarts), (State::Stopped, 0), "{reports:?}");
    }
}
