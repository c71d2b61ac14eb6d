//! What a command is about: `TYPE`, `TYPE NAME…`, `TYPE/NAME…`, `TYPE,TYPE`.

use anyhow::{Context, bail};

use super::discovery::{Discovery, ResourceType};

/// A kind, and one object of it or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a ResourceType,
    pub(crate) name: Option<String>,
}

/// Reads the words after a verb.
pub(crate) fn parse<'a>(discovery: &'a Discovery, words: &[String]) -> anyhow::Result<Vec<Target<'a>>> {
    let (first, names) = words
        .split_first()
        .context("say which kind of object: as in `pods`, `deployment NAME` or `pod/NAME`")?;
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| parse_pair(discovery, word)).collect();
    }
    let mut resources = Vec::new();
    for text in first.split(',').filter(|text| !text.is_empty()) {
        match discovery.in_category(text) {
            category if category.is_empty() => resources.push(discovery.named(text)?),
            category => resources.extend(category),
        }
    }
    if names.is_empty() {
        return Ok(resources
            .into_iter()
            .map(|resource| Target { resource, name: None })
            .collect());
    }
    let [resource] = resources.as_slice() else {
        bail!("names can only be given for one kind of object; use TYPE/NAME for several");
    };
    Ok(names
        .iter()
        .map(|name| Target {
            resource,
            name: Some(name.clone()),
        })
        .collect())
}

fn parse_pair<'a>(discovery: &'a Discovery, word: &str) -> anyhow::Result<Target<'a>> {
    match word.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => Ok(Target {
            resource: discovery.named(kind)?,
            name: Some(name.to_owned()),
        }),
        _ => bail!("{word:?} is not TYPE/NAME; when one word has that form, all must"),
    }
}

/// The one object that is meant.
pub(crate) fn parse_one<'a>(discovery: &'a Discovery, words: &[String]) -> anyhow::Result<(&'a ResourceType, String)> {
    let targets = parse(discovery, words)?;
    match targets.as_slice() {
        [
            Target {
                resource,
                name: Some(name),
            },
        ] => Ok((resource, name.clone())),
        _ => bail!("name exactly one object, as TYPE NAME or TYPE/NAME"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::discovery::tests::sample;

    #[test]
    fn words_after_a_verb() {
        let discovery = sample();
        for (words, expected) in [
            ("pods", Some(vec![("pods", None)])),
            ("po,svc", Some(vec![("pods", None), ("services", None)])),
            ("pod a b", Some(vec![("pods", Some("a")), ("pods", Some("b"))])),
            ("pod/a svc/b", Some(vec![("pods", Some("a")), ("services", Some("b"))])),
            ("pod/a b", None),
            ("po,svc a", None),
            ("pod/", None),
            ("pod/a/b", None),
            ("", None),
        ] {
            let list: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let parsed = parse(&discovery, &list);
            let found = parsed.as_ref().ok().map(|targets| {
                targets
                    .iter()
                    .map(|target| (target.resource.plural.as_str(), target.name.as_deref()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{words}");
        }
        assert_eq!(parse(&discovery, &["all".to_owned()]).expect("a category").len(), 5);
    }
}
