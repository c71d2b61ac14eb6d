use http::HeaderValue;

use super::*;

fn accept(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !value.is_empty() {
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn the_best_known_form_is_answered() {
    let rows = [
        ("", Some(Form::Object)),
        ("*/*", Some(Form::Object)),
        ("application/json", Some(Form::Object)),
        (
            "application/vnd.kubernetes.protobuf,application/json",
            Some(Form::Object),
        ),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(Form::Table),
        ),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", None),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Some(Form::Metadata),
        ),
        (
            "application/json;q=0.1;as=Table;v=v1;g=meta.k8s.io, application/json",
            Some(Form::Object),
        ),
        ("text/html", None),
        ("application/vnd.kubernetes.protobuf", None),
    ];
    for (value, wanted) in rows {
        assert_eq!(form(&accept(value)).ok(), wanted, "{value}");
    }
}

#[test]
fn aggregated_discovery_only_if_it_is_preferred() {
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let v2beta1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let rows = [
        (format!("{v2},{v2beta1},application/json"), true),
        (format!("{v2beta1},{v2},application/json"), true),
        (format!("{v2beta1},application/json"), false),
        (format!("application/json,{v2}"), false),
        ("*/*".to_owned(), false),
    ];
    for (value, wanted) in rows {
        assert_eq!(wants_aggregated_discovery(&accept(&value)), wanted, "{value}");
    }
}

#[test]
fn body_types() {
    let rows = [
        ("application/json; charset=utf-8", BodyType::Json),
        ("application/vnd.kubernetes.protobuf", BodyType::Protobuf),
        ("application/apply-patch+yaml", BodyType::ApplyPatch),
        ("application/apply-patch+cbor", BodyType::Unknown),
        ("APPLICATION/YAML", BodyType::Yaml),
    ];
    for (value, wanted) in rows {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        assert_eq!(body_type(&headers), wanted, "{value}");
    }
    assert_eq!(body_type(&HeaderMap::new()), BodyType::Json);
}
