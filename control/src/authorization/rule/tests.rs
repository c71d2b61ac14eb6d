use super::*;

fn list(words: &str) -> Vec<String> {
    words
        .split_whitespace()
        .map(|word| if word == "\"\"" { String::new() } else { word.to_owned() })
        .collect()
}

fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    Rule {
        verbs: list(verbs),
        api_groups: list(groups),
        resources: list(resources),
        resource_names: list(names),
        ..Rule::default()
    }
}

fn urls(verbs: &str, urls: &str) -> Rule {
    Rule {
        verbs: list(verbs),
        urls: list(urls),
        ..Rule::default()
    }
}

fn about(verb: &str, group: &str, resource: &str, name: &str) -> Request {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Request::Resource(ResourceRequest {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        ..ResourceRequest::default()
    })
}

fn path(verb: &str, path: &str) -> Request {
    Request::Path {
        verb: verb.to_owned(),
        path: path.to_owned(),
    }
}

#[test]
fn a_rule_allows_what_it_names() {
    let rows = [
        (rule("get", "\"\"", "pods", ""), about("get", "", "pods", "a"), true),
        (rule("get", "\"\"", "pods", ""), about("list", "", "pods", ""), false),
        (
            rule("get", "\"\"", "pods", ""),
            about("get", "apps", "pods", "a"),
            false,
        ),
        (
            rule("get", "\"\"", "pods", ""),
            about("get", "", "pods/log", "a"),
            false,
        ),
        (
            rule("get", "\"\"", "pods/log", ""),
            about("get", "", "pods/log", "a"),
            true,
        ),
        (
            rule("get", "\"\"", "pods/log", ""),
            about("get", "", "pods", "a"),
            false,
        ),
        (
            rule("get", "\"\"", "*/log", ""),
            about("get", "", "pods/log", "a"),
            true,
        ),
        (rule("get", "\"\"", "*/log", ""), about("get", "", "pods", "a"), false),
        (
            rule("get", "\"\"", "pods/*", ""),
            about("get", "", "pods/log", "a"),
            false,
        ),
        (rule("*", "*", "*", ""), about("use", "x", "y/z", "a"), true),
        (rule("*", "*", "*", ""), path("get", "/x"), false),
        (rule("get", "\"\"", "pods", "a b"), about("get", "", "pods", "b"), true),
        (rule("get", "\"\"", "pods", "a b"), about("get", "", "pods", "c"), false),
        (
            rule("create", "\"\"", "pods", "a"),
            about("create", "", "pods", ""),
            false,
        ),
        (urls("get", "/healthz"), path("get", "/healthz"), true),
        (urls("get", "/healthz"), path("get", "/healthz/ping"), false),
        (urls("get", "/healthz/*"), path("get", "/healthz/ping"), true),
        (urls("get", "/healthz/*"), path("post", "/healthz/ping"), false),
        (urls("*", "*"), path("post", "/x"), true),
        (urls("*", "*"), about("get", "", "pods", "a"), false),
    ];
    for (rule, request, allowed) in rows {
        assert_eq!(rule.allows(&request), allowed, "{rule:?} {request:?}");
    }
}

#[test]
fn what_rules_lack_is_said_in_one_line_for_each_resource() {
    /// What it is about, what is owned, what is wanted, what is missing.
    type Row = (&'static str, Vec<Rule>, Vec<Rule>, &'static [&'static str]);
    let pods = || rule("get list", "\"\"", "pods", "");
    let rows: [Row; 9] = [
        ("the same", vec![pods()], vec![pods()], &[]),
        ("all", vec![rule("*", "*", "*", "")], vec![pods()], &[]),
        (
            "a verb",
            vec![rule("get", "\"\"", "pods", "")],
            vec![pods()],
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#],
        ),
        (
            "nothing owned",
            vec![],
            vec![pods()],
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#],
        ),
        (
            "parts from several",
            vec![rule("get", "\"\"", "pods", ""), rule("list", "*", "*", "")],
            vec![pods()],
            &[],
        ),
        (
            "one name is less than all",
            vec![rule("get", "\"\"", "pods", "a")],
            vec![rule("get", "\"\"", "pods", "a"), rule("get", "\"\"", "pods", "")],
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#],
        ),
        (
            "a subresource of any",
            vec![rule("get", "*", "*/scale", "")],
            vec![rule("get", "apps", "deployments/scale", "")],
            &[],
        ),
        (
            "star is more than some",
            vec![pods()],
            vec![rule("*", "\"\"", "pods", "")],
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#],
        ),
        (
            "paths",
            vec![urls("get", "/a/*")],
            vec![urls("get", "/a/b /a/* /b")],
            &[r#"{NonResourceURLs:["/b"], Verbs:["get"]}"#],
        ),
    ];
    for (row, owned, wanted, lines) in rows {
        assert_eq!(missing(&owned, &wanted), lines, "{row}");
    }
}
