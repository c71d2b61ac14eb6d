//! Scripts of pods that stop: what holds them back, and for how long.

use std::time::Duration;

use api::{
    Timestamp,
    k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice},
};
use serde_json::{from_value, json};

use super::{Allowed, AllowedBy, WAIT_MAX, Withdrawals};

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn running(uid: &str) -> Pod {
    from_value(json!({"metadata": {"name": uid, "uid": uid}, "spec": {"nodeName": "one", "containers": []}})).unwrap()
}

fn stopping(uid: &str) -> Pod {
    from_value(json!({
        "metadata": {"name": uid, "uid": uid, "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "one", "containers": []}}))
    .unwrap()
}

fn slice(endpoints: &[(&str, bool)]) -> EndpointSlice {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|(uid, terminating)| {
            json!({"addresses": ["10.42.0.1"], "targetRef": {"uid": uid},
                "conditions": {"ready": !terminating, "terminating": terminating}})
        })
        .collect();
    from_value(json!({"addressType": "IPv4", "endpoints": endpoints})).unwrap()
}

fn with_nodes(nodes: &[&str]) -> Withdrawals {
    let mut withdrawals = Withdrawals::new(WAIT_MAX);
    nodes.iter().for_each(|node| withdrawals.node_connected(node));
    withdrawals
}

fn allowed(by: AllowedBy) -> Vec<Allowed> {
    vec![Allowed {
        node: "one".to_owned(),
        pod_uid: "a".to_owned(),
        by,
    }]
}

#[test]
fn a_pod_stops_when_every_node_has_it_out() {
    let mut it = with_nodes(&["one", "two"]);
    let listed = slice(&[("a", false), ("b", false)]);
    it.slice_changed(5, None, Some(&listed));
    it.node_programmed("one", 5);
    it.node_programmed("two", 5);
    it.pod_changed(Some(&running("a")), Some(&stopping("a")), now(0));
    assert_eq!(it.newly_allowed(now(0)), [], "the slice still offers it");
    it.slice_changed(7, Some(&listed), Some(&slice(&[("a", true), ("b", false)])));
    it.node_programmed("one", 7);
    assert_eq!(it.newly_allowed(now(0)), [], "node two still offers it");
    it.node_programmed("two", 6);
    assert_eq!(it.newly_allowed(now(0)), []);
    it.node_programmed("two", 8);
    assert_eq!(it.newly_allowed(now(0)), allowed(AllowedBy::EveryNode));
    assert_eq!(it.newly_allowed(now(0)), [], "told once");
    assert_eq!(
        it.allowed_on("one").collect::<Vec<_>>(),
        ["a"],
        "but known, for an agent that comes back"
    );
    it.pod_changed(Some(&stopping("a")), None, now(1));
    assert_eq!(it.allowed_on("one").count(), 0);
    assert_eq!(it.next_deadline(), None);
}

#[test]
fn all_slices_that_list_it_count() {
    let mut it = with_nodes(&["one"]);
    let listed = slice(&[("a", false)]);
    let leaving = slice(&[("a", true)]);
    it.slice_changed(1, None, Some(&listed));
    it.slice_changed(2, None, Some(&listed));
    it.pod_changed(None, Some(&stopping("a")), now(0));
    it.slice_changed(3, Some(&listed), Some(&leaving));
    it.node_programmed("one", 3);
    assert_eq!(it.newly_allowed(now(0)), []);
    it.slice_changed(4, Some(&listed), None);
    assert_eq!(it.newly_allowed(now(0)), [], "programmed up to 3 only");
    it.node_programmed("one", 4);
    assert_eq!(it.newly_allowed(now(0)), allowed(AllowedBy::EveryNode));
}

#[test]
fn a_pod_that_no_service_lists_waits_for_nothing_but_what_is_under_way() {
    let mut it = with_nodes(&["one"]);
    it.pod_changed(None, Some(&stopping("a")), now(0));
    assert_eq!(it.newly_allowed(now(0)), allowed(AllowedBy::EveryNode));

    let mut it = with_nodes(&["one"]);
    it.slice_changed(3, None, Some(&slice(&[("a", false)])));
    it.slice_changed(4, Some(&slice(&[("a", false)])), Some(&slice(&[])));
    it.pod_changed(None, Some(&stopping("a")), now(0));
    assert_eq!(it.newly_allowed(now(0)), [], "the node may not know revision 4 yet");
    it.node_programmed("one", 4);
    assert_eq!(it.newly_allowed(now(0)), allowed(AllowedBy::EveryNode));
}

#[test]
fn nobody_waits_longer_than_the_bound_or_for_a_node_that_is_away() {
    let mut it = with_nodes(&["one", "two"]);
    let listed = slice(&[("a", false)]);
    it.slice_changed(1, None, Some(&listed));
    it.pod_changed(None, Some(&stopping("a")), now(0));
    assert_eq!(it.next_deadline(), now(0).checked_add(WAIT_MAX).ok());
    assert_eq!(it.newly_allowed(now(4)), []);
    let late = now(0).checked_add(WAIT_MAX + Duration::from_secs(1)).unwrap();
    assert_eq!(it.clone().newly_allowed(late), allowed(AllowedBy::Timeout));

    it.slice_changed(2, Some(&listed), Some(&slice(&[("a", true)])));
    it.node_programmed("one", 2);
    assert_eq!(it.newly_allowed(now(4)), []);
    it.node_disconnected("two");
    assert_eq!(it.newly_allowed(now(4)), allowed(AllowedBy::EveryNode));
}

#[test]
fn a_pod_without_a_node_and_one_that_is_replaced_by_a_namesake_are_nobodys() {
    let mut it = with_nodes(&["one"]);
    let mut unbound = stopping("a");
    unbound.spec = None;
    it.pod_changed(None, Some(&unbound), now(0));
    assert_eq!(it.newly_allowed(now(0)), []);
    it.slice_changed(9, None, Some(&slice(&[("a", false)])));
    it.pod_changed(None, Some(&stopping("a")), now(0));
    it.pod_changed(Some(&stopping("a")), Some(&running("b")), now(0));
    assert_eq!(it.newly_allowed(now(100)), []);
}
