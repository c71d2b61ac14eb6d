use serde_json::json;

use super::*;

#[test]
fn expressions_see_whole_objects() {
    let object = json!({
        "metadata": { "name": "web", "labels": { "app": "a" } },
        "spec": { "replicas": 3, "containers": [{ "image": "x:1" }, { "image": "y:2" }] },
    });
    let mut scope = Scope::default();
    scope.set("object", &object);
    scope.set("oldObject", &Value::Null);
    scope.set("request", &json!({ "operation": "CREATE" }));
    let rows = [
        ("object.spec.replicas <= 5", Ok(Answer::Bool(true))),
        (
            "object.spec.containers.all(c, c.image.startsWith('x'))",
            Ok(Answer::Bool(false)),
        ),
        (
            "has(object.metadata.labels.app) && object.metadata.labels['app'] == 'a'",
            Ok(Answer::Bool(true)),
        ),
        ("oldObject == null", Ok(Answer::Bool(true))),
        (
            "'replicas: ' + string(object.spec.replicas)",
            Ok(Answer::Text("replicas: 3".to_owned())),
        ),
        (
            "string(object.spec.replicas > 1) + string(false) + string(1.5) + string('x')",
            Ok(Answer::Text("truefalse1.5x".to_owned())),
        ),
        (
            "object.spec.containers.map(c, c.image)",
            Ok(Answer::Other(json!(["x:1", "y:2"]))),
        ),
        ("{'a': object.spec.replicas}", Ok(Answer::Other(json!({ "a": 3 })))),
        (
            "object.metadata.?annotations['x'].orValue('none')",
            Ok(Answer::Text("none".to_owned())),
        ),
        (
            "object.spec.missing > 1",
            Err(EvaluateError::NoSuchKey("missing".to_owned())),
        ),
    ];
    for (text, expected) in rows {
        let answer = Expression::compile(text).expect(text).evaluate(&scope);
        assert_eq!(answer, expected, "{text}");
    }
    assert!(Expression::compile("object.spec.").is_err());
    assert!(Expression::compile("params.x == 1").expect("good").refers_to("params"));
}

#[test]
fn too_much_work_is_refused() {
    let mut scope = Scope::default();
    scope.set("object", &json!(vec![1; 5000]));
    let deep = Expression::compile("object.all(a, object.all(b, object.all(c, a + b + c > 0)))").expect("good");
    assert_eq!(deep.evaluate(&scope), Err(EvaluateError::TooCostly));
    let flat = Expression::compile("object.all(a, a > 0)").expect("good");
    assert_eq!(flat.evaluate(&scope), Ok(Answer::Bool(true)));
}

#[test]
fn only_mutations_construct_objects() {
    let object = "Object{spec: Object.spec{replicas: 3}}";
    let rows = [
        (
            "Foo{}",
            Some("undeclared reference to 'Foo' (in container '')"),
            Some("undeclared reference to 'Foo' (in container '')"),
        ),
        (
            object,
            Some("undeclared reference to 'Object.spec' (in container '')"),
            None,
        ),
        (
            "[1].map(i, a.B{x: i})",
            Some("undeclared reference to 'a.B' (in container '')"),
            Some("undeclared reference to 'a.B' (in container '')"),
        ),
        (
            "Objects{}",
            Some("undeclared reference to 'Objects' (in container '')"),
            Some("undeclared reference to 'Objects' (in container '')"),
        ),
        (
            "[JSONPatch{op: 'remove', path: '/spec'}]",
            Some("undeclared reference to 'JSONPatch' (in container '')"),
            None,
        ),
        (
            "[JSONPatch{verb: 'remove'}]",
            Some("undeclared reference to 'JSONPatch' (in container '')"),
            Some("undefined field 'verb'"),
        ),
        ("{'a': 1}", None, None),
    ];
    for (text, plain, mutation) in rows {
        let told = |compiled: Result<Expression, CompileError>| compiled.err().map(|CompileError(why)| why);
        assert_eq!(told(Expression::compile(text)).as_deref(), plain, "{text}");
        assert_eq!(
            told(Expression::compile_mutation(text)).as_deref(),
            mutation,
            "{text} in a mutation"
        );
    }
    let answer = Expression::compile_mutation(object)
        .expect(object)
        .evaluate(&Scope::default());
    assert_eq!(
        answer.unwrap().into_configuration(),
        Ok(json!({ "spec": { "replicas": 3 } }))
    );
}

/// Lets everybody get, `account` do anything, and fails about secrets.
struct Getters;

impl Authorizer for Getters {
    fn decide(&self, account: Option<&Account>, question: &Question, verb: &str) -> Ruling {
        let is_secret = matches!(question, Question::Resource(about) if about.resource == "secrets");
        Ruling {
            is_allowed: verb == "get" || account.is_some_and(|account| account.name == "account"),
            reason: format!("{question:?}"),
            error: if is_secret { "no idea".to_owned() } else { String::new() },
        }
    }
}

#[test]
fn expressions_ask_who_may_do_what() {
    let mut scope = Scope::default();
    let request = ResourceQuestion {
        resource: "pods".to_owned(),
        name: "web".to_owned(),
        ..ResourceQuestion::default()
    };
    scope.set_authorizer(Arc::new(Getters), request);
    let rows = [
        ("authorizer.path('/healthz').check('get').allowed()", true),
        ("authorizer.path('/healthz').check('post').allowed()", false),
        (
            "authorizer.group('apps').resource('deployments').subresource('scale').namespace('a').name('b').check('get')\
             .reason() == 'Resource(ResourceQuestion { group: \"apps\", resource: \"deployments\", subresource: \"scale\", \
             namespace: \"a\", name: \"b\" })'",
            true,
        ),
        (
            "authorizer.serviceAccount('ns', 'account').path('/x').check('post').allowed()",
            true,
        ),
        (
            "authorizer.serviceAccount('ns', 'other').path('/x').check('post').allowed()",
            false,
        ),
        (
            "authorizer.requestResource.check('get').reason().contains('name: \"web\"')",
            true,
        ),
        (
            "authorizer.requestResource.name('other').check('get').reason().contains('web')",
            false,
        ),
        ("authorizer.group('').resource('secrets').check('get').errored()", true),
        (
            "authorizer.group('').resource('secrets').check('get').error() == 'no idea'",
            true,
        ),
    ];
    for (text, expected) in rows {
        let answer = Expression::compile(text).expect(text).evaluate(&scope);
        assert_eq!(answer, Ok(Answer::Bool(expected)), "{text}");
    }
    for text in [
        "authorizer.check('get').allowed()",
        "authorizer.resource('pods')",
        "'x'.check('get')",
    ] {
        assert!(
            Expression::compile(text).expect(text).evaluate(&scope).is_err(),
            "{text}"
        );
    }
    let often = "range.all(i, authorizer.path('/x').check('get').allowed())";
    scope.set("range", &json!(vec![1; 100]));
    let answer = Expression::compile(often).expect(often).evaluate(&scope);
    assert!(
        matches!(&answer, Err(EvaluateError::Failed(why)) if why.contains("cost limit")),
        "{answer:?}"
    );
}
