use super::Reference;

#[test]
fn short_names_become_full_ones() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    for (text, full) in [
        ("nginx", "docker.io/library/nginx:latest".to_owned()),
        ("nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
        ("library/nginx", "docker.io/library/nginx:latest".to_owned()),
        ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
        ("bitnami/redis", "docker.io/bitnami/redis:latest".to_owned()),
        ("localhost/web", "localhost/web:latest".to_owned()),
        ("localhost:5000/web:v1", "localhost:5000/web:v1".to_owned()),
        (
            "registry.k8s.io/e2e/agnhost:2.53",
            "registry.k8s.io/e2e/agnhost:2.53".to_owned(),
        ),
        ("a__b/c-d--e.f:T_1", "docker.io/a__b/c-d--e.f:T_1".to_owned()),
        (
            &format!("nginx:1.27@{digest}"),
            format!("docker.io/library/nginx@{digest}"),
        ),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
    }
}

#[test]
fn what_is_no_reference_is_refused() {
    for text in [
        "",
        ":latest",
        "Nginx",
        "nginx:",
        "nginx:-a",
        "nginx@sha256:abc",
        "nginx@md5:abc",
        "a//b",
        "a/../b",
        "-a",
        "a_",
        "a..b",
        "a___b",
        "exa mple.com/a",
    ] {
        assert!(text.parse::<Reference>().is_err(), "{text}");
    }
}
