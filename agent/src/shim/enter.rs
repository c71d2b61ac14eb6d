//! One more process in a running container, whose streams the agent gets.
//!
//! The agent is at the other end of standard input: it is given the streams, and told how the process ended. When the
//! agent or its client goes, the streams end, and the process does what it does then. Never here: what flows.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use nix::{
    fcntl::OFlag,
    sys::wait::{WaitStatus, waitpid},
    unistd::Pid,
};

use super::{
    FAILED,
    exec::{ExecError, join},
    handover::{Ends, Said, give, say},
    terminal::ConsoleSocket,
};
use crate::{
    causes::chain,
    runtime::{Runtime, Stdio, Streams, embedded::Embedded},
};

/// The streams that are wanted: `terminal`, or some of `stdin,stdout,stderr`, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WantedStreams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) terminal: bool,
}

impl WantedStreams {
    /// From one word of the command line.
    pub(super) fn parse(word: &str) -> WantedStreams {
        let names: Vec<&str> = word.split(',').collect();
        WantedStreams {
            stdin: names.contains(&"stdin"),
            stdout: names.contains(&"stdout"),
            stderr: names.contains(&"stderr"),
            terminal: names.contains(&"terminal"),
        }
    }

    /// As one word of the command line.
    pub(crate) fn word(self) -> String {
        let names = [
            (self.stdin, "stdin"),
            (self.stdout, "stdout"),
            (self.stderr, "stderr"),
            (self.terminal, "terminal"),
        ];
        let wanted: Vec<&str> = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        wanted.join(",")
    }
}

pub(super) fn enter(dir: &Path, process: &Path, wanted: WantedStreams) -> Result<i32, ExecError> {
    let agent = take_agent_connection().map_err(ExecError::system("take the agent's connection"))?;
    let (pid, ends) = match start(dir, process, wanted) {
        Ok(started) => started,
        Err(err) => {
            let message = chain(&err);
            // An agent that is gone needs no reason.
            let _ = say(&agent, &Said::Failed { message });
            return Ok(FAILED);
        }
    };
    // If the agent is gone, the process finds its streams closed.
    let _ = give(&agent, &ends);
    drop(ends);
    let code = loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => break code,
            Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(ExecError::system("wait for the process")(errno.into())),
        }
    };
    let _ = say(&agent, &Said::Exited { code });
    Ok(code)
}

/// The agent that started this shim is at the other end of standard input.
pub(super) fn take_agent_connection() -> io::Result<UnixStream> {
    let agent = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(UnixStream::from(agent))
}

fn start(dir: &Path, process: &Path, wanted: WantedStreams) -> Result<(Pid, Ends), ExecError> {
    let config = join(dir)?;
    let mut ends = Ends::default();
    if wanted.terminal {
        let socket = ConsoleSocket::listen(dir).map_err(ExecError::system("listen for the terminal"))?;
        let streams = Streams::Terminal(socket.path());
        let pid = Embedded.exec(&config.id, process, &config.runtime_dir, streams)?;
        socket.remove_links(&config.runtime_dir.join(&config.id));
        let master = socket.take().map_err(ExecError::system("take the terminal"))?;
        ends.terminal = Some(master);
        return Ok((pid, ends));
    }
    let stdio = pipes(wanted, &mut ends).map_err(ExecError::system("make a pipe"))?;
    let pid = Embedded.exec(&config.id, process, &config.runtime_dir, Streams::Given(stdio))?;
    Ok((pid, ends))
}

/// The process' ends of the streams that are wanted; the others are /dev/null.
fn pipes(wanted: WantedStreams, ends: &mut Ends) -> io::Result<Stdio> {
    let null = || -> io::Result<OwnedFd> { Ok(fs::File::options().read(true).write(true).open("/dev/null")?.into()) };
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from);
    let stdin = if wanted.stdin {
        let (read, write) = pipe()?;
        ends.stdin = Some(write);
        read
    } else {
        null()?
    };
    let output = |is_wanted: bool, end: &mut Option<OwnedFd>| -> io::Result<OwnedFd> {
        if !is_wanted {
            return null();
        }
        let (read, write) = pipe()?;
        *end = Some(read);
        Ok(write)
    };
    Ok(Stdio {
        stdin,
        stdout: output(wanted.stdout, &mut ends.stdout)?,
        stderr: output(wanted.stderr, &mut ends.stderr)?,
    })
}

#[cfg(test)]
mod tests {
    use super::WantedStreams;

    #[test]
    fn wanted_streams_are_one_word() {
        let streams = |stdin, stdout, stderr, terminal| WantedStreams {
            stdin,
            stdout,
            stderr,
            terminal,
        };
        for (word, wanted) in [
            ("", streams(false, false, false, false)),
            ("stdin", streams(true, false, false, false)),
            ("stdin,stdout,stderr", streams(true, true, true, false)),
            ("stdout", streams(false, true, false, false)),
            ("terminal", streams(false, false, false, true)),
        ] {
            assert_eq!(WantedStreams::parse(word), wanted, "{word:?}");
            assert_eq!(wanted.word(), word);
        }
    }
}
