//! The `authorizer` of expressions: who may do what, asked in the middle of an evaluation.
//!
//! Never here: who may do what; that is told by an [`Authorizer`].
//! Source: Kubernetes, "Common Expression Language in Kubernetes", "Kubernetes authorizer library".

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as Cel, extractors::This, objects::Opaque};

/// Questions of all expressions about one request. Each costs 350,000 units in Kubernetes, of ten millions that the
/// expressions of a policy may cost.
const QUESTIONS_MAX: u32 = 28;

/// What somebody may do or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A request by a path that is not about objects.
    Path(String),
    /// A request about objects.
    Resource(ResourceQuestion),
}

/// A request about objects. Everything but the resource may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceQuestion {
    /// API group.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// Last part of the path.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// A service account by its namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Whether it may be done.
    pub is_allowed: bool,
    /// Why; may be empty.
    pub reason: String,
    /// Why nothing can be said; empty if there is an answer.
    pub error: String,
}

/// Knows who may do what.
pub trait Authorizer: Send + Sync {
    /// Whether a service account, or without one whoever makes the request, may do this by this verb.
    fn decide(&self, account: Option<&Account>, question: &Question, verb: &str) -> Ruling;
}

/// An authorizer that is asked in the course of one request.
struct Asked {
    authorizer: Arc<dyn Authorizer>,
    questions: AtomicU32,
}

/// What has been said so far of a question.
#[derive(Clone)]
struct Draft {
    asked: Arc<Asked>,
    account: Option<Account>,
    about: About,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Anything,
    Group(String),
    This(Question),
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("account", &self.account)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Draft {
    fn eq(&self, other: &Draft) -> bool {
        (&self.account, &self.about) == (&other.account, &other.about)
    }
}

impl Eq for Draft {}

impl Opaque for Draft {
    fn runtime_type_name(&self) -> &str {
        match self.about {
            About::Anything => "kubernetes.authorization.Authorizer",
            About::Group(_) => "kubernetes.authorization.GroupCheck",
            About::This(Question::Path(_)) => "kubernetes.authorization.PathCheck",
            About::This(Question::Resource(_)) => "kubernetes.authorization.ResourceCheck",
        }
    }
}

impl Opaque for Ruling {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.authorization.Decision"
    }
}

/// The values of `authorizer` and `authorizer.requestResource`.
pub(super) fn values(authorizer: Arc<dyn Authorizer>, request: ResourceQuestion) -> [Cel; 2] {
    let asked = Arc::new(Asked {
        authorizer,
        questions: AtomicU32::new(0),
    });
    [About::Anything, About::This(Question::Resource(request))].map(|about| {
        let asked = asked.clone();
        opaque(Draft {
            asked,
            account: None,
            about,
        })
    })
}

/// Makes the functions of the library known.
pub(super) fn register(context: &mut Context<'static>) {
    context.add_function("path", |This(this): This<Cel>, path: Arc<String>| {
        narrow(&this, |about| match about {
            About::Anything => Some(About::This(Question::Path((*path).clone()))),
            About::Group(_) | About::This(_) => None,
        })
    });
    context.add_function("group", |This(this): This<Cel>, group: Arc<String>| {
        narrow(&this, |about| match about {
            About::Anything => Some(About::Group((*group).clone())),
            About::Group(_) | About::This(_) => None,
        })
    });
    context.add_function("resource", |This(this): This<Cel>, resource: Arc<String>| {
        narrow(&this, |about| match about {
            About::Group(group) => Some(About::This(Question::Resource(ResourceQuestion {
                group,
                resource: (*resource).clone(),
                ..ResourceQuestion::default()
            }))),
            About::Anything | About::This(_) => None,
        })
    });
    context.add_function("subresource", |This(this): This<Cel>, subresource: Arc<String>| {
        of_resource(&this, |question| question.subresource = (*subresource).clone())
    });
    context.add_function("namespace", |This(this): This<Cel>, namespace: Arc<String>| {
        of_resource(&this, |question| question.namespace = (*namespace).clone())
    });
    context.add_function("name", |This(this): This<Cel>, name: Arc<String>| {
        of_resource(&this, |question| question.name = (*name).clone())
    });
    context.add_function(
        "serviceAccount",
        |This(this): This<Cel>, namespace: Arc<String>, name: Arc<String>| {
            let draft = draft(&this)?;
            if draft.about != About::Anything {
                return Err(ExecutionError::NoSuchOverload);
            }
            Ok(opaque(Draft {
                account: Some(Account {
                    namespace: (*namespace).clone(),
                    name: (*name).clone(),
                }),
                ..draft.clone()
            }))
        },
    );
    context.add_function("check", |This(this): This<Cel>, verb: Arc<String>| check(&this, &verb));
    context.add_function("allowed", |This(this): This<Cel>| {
        ruling(&this).map(|ruling| Cel::Bool(ruling.is_allowed))
    });
    context.add_function("reason", |This(this): This<Cel>| {
        ruling(&this).map(|ruling| Cel::String(Arc::new(ruling.reason.clone())))
    });
    context.add_function("errored", |This(this): This<Cel>| {
        ruling(&this).map(|ruling| Cel::Bool(!ruling.error.is_empty()))
    });
    context.add_function("error", |This(this): This<Cel>| {
        ruling(&this).map(|ruling| Cel::String(Arc::new(ruling.error.clone())))
    });
}

fn check(this: &Cel, verb: &str) -> ResolveResult {
    let Draft { asked, account, about } = draft(this)?;
    let About::This(question) = about else {
        return Err(ExecutionError::NoSuchOverload);
    };
    if asked.questions.fetch_add(1, Ordering::Relaxed) >= QUESTIONS_MAX {
        return Err(ExecutionError::function_error("check", "actual cost limit exceeded"));
    }
    Ok(opaque(asked.authorizer.decide(account.as_ref(), question, verb)))
}

fn narrow(this: &Cel, about: impl FnOnce(About) -> Option<About>) -> ResolveResult {
    let draft = draft(this)?.clone();
    let about = about(draft.about).ok_or(ExecutionError::NoSuchOverload)?;
    Ok(opaque(Draft { about, ..draft }))
}

fn of_resource(this: &Cel, change: impl FnOnce(&mut ResourceQuestion)) -> ResolveResult {
    narrow(this, |about| match about {
        About::This(Question::Resource(mut question)) => {
            change(&mut question);
            Some(About::This(Question::Resource(question)))
        }
        About::Anything | About::Group(_) | About::This(Question::Path(_)) => None,
    })
}

fn draft(this: &Cel) -> Result<&Draft, ExecutionError> {
    inside(this)
}

fn ruling(this: &Cel) -> Result<&Ruling, ExecutionError> {
    inside(this)
}

fn inside<T: 'static>(this: &Cel) -> Result<&T, ExecutionError> {
    match this {
        Cel::Opaque(value) => value.downcast_ref().ok_or(ExecutionError::NoSuchOverload),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

fn opaque(value: impl Opaque) -> Cel {
    Cel::Opaque(Arc::new(value))
}
