//! The commands that other programs rely on: `skep` and kubectl given the same words do and print the same.

#![allow(missing_docs, reason = "a test program")]

#[path = "commands/logs.rs"]
mod logs;
#[path = "commands/machine.rs"]
mod machine;
#[path = "commands/script.rs"]
mod script;
#[path = "commands/views.rs"]
mod views;

use tests::{
    Sandbox,
    clients::{BOTH, Client},
};

/// One cluster; each client works in a namespace of its own, under the same names.
#[test]
fn skep_and_kubectl_do_and_print_the_same() {
    let Some(sandbox) = Sandbox::create(2) else { return };
    for client in BOTH {
        script::make(&sandbox, client);
    }
    script::made_the_same(&sandbox);
    logs::are_printed(&sandbox);
    views::tables_are_the_same(&sandbox);
    views::documents_are_the_same(&sandbox);
    views::watches_show_changes(&sandbox);
    views::descriptions_have_what_matters(&sandbox);
    views::events_are_in_the_order_in_which_they_happened(&sandbox);
    machine::the_dataplane_is_shown(&sandbox);
    machine::images_are_imported_and_listed(&sandbox);
    machine::sandbox_commands(&sandbox);
    machine::servers_are_found(&sandbox);
    for client in BOTH {
        script::remove(&sandbox, client);
    }
}

#[test]
fn completions_are_scripts_that_the_shells_accept() {
    machine::completions();
}

/// The namespace a client works in.
fn namespace(client: Client) -> String {
    format!("by-{}", client.name())
}

/// What a client prints, which must succeed; without colours, since nobody looks.
#[track_caller]
fn printed(sandbox: &Sandbox, client: Client, words: &[&str], input: &str) -> String {
    let said = client.run(&sandbox.kubeconfig(), words, input);
    let what = format!("{} {}", client.name(), words.join(" "));
    assert!(
        !said.out.contains('\x1b') && !said.err.contains('\x1b'),
        "{what} is coloured: {said:?}"
    );
    said.succeeded(&what)
}

/// As [`printed`], in the client's namespace; the words are separated by blanks.
#[track_caller]
fn in_namespace(sandbox: &Sandbox, client: Client, words: &str) -> String {
    let namespace = namespace(client);
    let words: Vec<&str> = ["-n", &namespace].into_iter().chain(words.split(' ')).collect();
    printed(sandbox, client, &words, "")
}
