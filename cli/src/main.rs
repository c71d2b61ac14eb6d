//! The `skep` binary: composition root and command line.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to the person at the terminal"
)]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

#[macro_use]
mod out;

mod client;
mod command_line;
mod daemon;
mod enter;
mod image;
mod logging;
mod raw_terminal;
mod removal;
mod sandbox;
mod supervise;
mod terminal;
mod verbs;
mod whole_file;

/// A container orchestrator that speaks the Kubernetes API, with a network of eBPF.
#[derive(Debug, Parser)]
#[command(
    name = "skep",
    version,
    disable_help_subcommand = true,
    infer_subcommands = false,
    // As in kubectl: of a flag that is given twice the last counts.
    args_override_self = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: logging::LogArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(daemon::UpArguments),
    Down(daemon::DownArguments),
    Server(Box<daemon::ServerArguments>),
    Agent(daemon::AgentArguments),
    #[command(subcommand)]
    Sandbox(sandbox::SandboxCommand),
    #[command(flatten)]
    Verb(verbs::Verb),
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Print a script that completes commands in a shell.
    Completion {
        #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
        shell: Shell,
    },
    #[command(hide = true)]
    Enter(enter::EnterArguments),
}

fn main() -> ExitCode {
    // These serve containers and sockets from a process of one thread: nothing may be started before them.
    let mut words = std::env::args_os().skip(1);
    let first = words.next();
    match first.as_deref() {
        Some(word) if word == "shim" => std::process::exit(agent::shim::main(words)),
        Some(word) if word == agent::dns_sockets::SUBCOMMAND => return agent::dns_sockets::hold_main(words),
        Some(_) | None => {}
    }
    let arguments = Arguments::parse_from(command_line::with_flags_behind_verb(std::env::args_os()));
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", shown(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let log = arguments.log;
    match arguments.command {
        Command::Up(up) => {
            log.init()?;
            up.run(&log)
        }
        Command::Down(down) => down.run(),
        Command::Server(server) => {
            log.init()?;
            server.run()
        }
        Command::Agent(agent) => {
            log.init()?;
            agent.run()
        }
        Command::Sandbox(command) => {
            if command.logs() {
                log.init()?;
            }
            command.run()
        }
        Command::Verb(verb) => verb.run(),
        Command::Image(command) => command.run(),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "skep", &mut script);
            out!("{}", String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Enter(enter) => Err(enter.run()),
    }
}

/// Refuses early, with the remedy, instead of failing in the middle.
fn require_root(what: &str) -> anyhow::Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    anyhow::bail!("{what} needs root: use sudo")
}

/// "error: …" with all causes; what the server said stands as it is.
fn shown(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let is_servers =
        text.starts_with("Error from server") || text.starts_with("The ") && text.contains(" is invalid: ");
    let text = legible(&text);
    if is_servers { text } else { format!("error: {text}") }
}

/// What may quote a file, without the characters that a terminal takes as orders. Lines stay.
fn legible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn errors_give_a_terminal_no_orders() {
        let error = anyhow::anyhow!("line 1\n\tm\u{fc}de").context("decode \u{1b}[2J\u{9b}\u{7}");
        assert_eq!(
            super::shown(&error),
            "error: decode \\u{1b}[2J\\u{9b}\\u{7}: line 1\n\tm\u{fc}de"
        );
    }
}
