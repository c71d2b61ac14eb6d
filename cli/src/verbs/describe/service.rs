//! The page of a service.

use serde_json::Value;

use super::Page;
use crate::client::object::{items, pairs, text};

pub(super) fn describe(page: &mut Page, service: &Value, slices: &[Value]) {
    let spec = &service["spec"];
    page.values(0, "Selector", &[pairs(&spec["selector"]).join(",")]);
    page.field(0, "Type", &text(&spec["type"]));
    page.field(
        0,
        "IP Families",
        &items(&spec["ipFamilies"])
            .iter()
            .map(text)
            .collect::<Vec<_>>()
            .join(","),
    );
    page.field(0, "IP", &text(&spec["clusterIP"]));
    if !spec["externalName"].is_null() {
        page.field(0, "External Name", &text(&spec["externalName"]));
    }
    for port in items(&spec["ports"]) {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let name = port["name"].as_str().unwrap_or("<unset>");
        page.field(0, "Port", &format!("{name}  {}/{protocol}", text(&port["port"])));
        page.field(0, "TargetPort", &format!("{}/{protocol}", text(&port["targetPort"])));
        if port["nodePort"].as_u64().is_some_and(|number| number > 0) {
            page.field(
                0,
                "NodePort",
                &format!("{name}  {}/{protocol}", text(&port["nodePort"])),
            );
        }
        page.field(0, "Endpoints", &endpoints(slices, &port["name"]).join(","));
    }
    page.field(0, "Session Affinity", &text(&spec["sessionAffinity"]));
    for (title, field) in [
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
    ] {
        if !spec[field].is_null() {
            page.field(0, title, &text(&spec[field]));
        }
    }
}

/// Ready addresses of one port.
fn endpoints(slices: &[Value], port_name: &Value) -> Vec<String> {
    let name = port_name.as_str().unwrap_or_default();
    let mut found = Vec::new();
    for slice in slices {
        let Some(port) = items(&slice["ports"])
            .iter()
            .find(|port| port["name"].as_str().unwrap_or_default() == name)
        else {
            continue;
        };
        for endpoint in items(&slice["endpoints"])
            .iter()
            .filter(|endpoint| endpoint["conditions"]["ready"] != false)
        {
            found.extend(
                items(&endpoint["addresses"])
                    .iter()
                    .map(|address| format!("{}:{}", text(address), text(&port["port"]))),
            );
        }
    }
    found
}
