//! Bad input: every mistake gets a clear refusal, the same from `skep` as from kubectl, and nothing is lost.

#![allow(missing_docs, clippy::print_stderr, reason = "a test program")]

#[path = "bad_input/agents.rs"]
mod agents;
#[path = "bad_input/disk.rs"]
mod disk;
#[path = "bad_input/images.rs"]
mod images;
#[path = "bad_input/requests.rs"]
mod requests;

use tests::Sandbox;

/// One cluster for everything that a running cluster refuses.
#[test]
fn a_cluster_refuses_mistakes_clearly_and_keeps_what_it_has() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    // Their back-off takes its time: looked at when the other mistakes have been made.
    images::run_pods_without_images(&sandbox);
    requests::prepare(&sandbox);
    requests::are_refused(&sandbox);
    requests::warnings_are_shown(&sandbox);
    requests::two_claims_at_once_get_one_owner(&sandbox);
    agents::refuse_wrong_tokens(&sandbox);
    agents::an_agent_waits_for_its_server(&sandbox);
    images::pods_say_what_they_lack(&sandbox);
}

#[test]
fn without_a_server_clients_say_so() {
    requests::without_a_server();
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    disk::fills_up();
}
