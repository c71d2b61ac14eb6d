//! Objects in files: YAML or JSON, several documents to a file, directories, standard input.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use api::yaml::{self, YamlError};
use serde_json::Value;

/// Options of the commands that read files.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct FileArguments {
    /// A file, a directory, or `-` for standard input. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub(crate) filename: Vec<PathBuf>,
    /// Go into directories below a directory.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// An object that a file holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) object: Value,
    /// The file, or "STDIN": for messages.
    pub(crate) source: String,
}

impl Manifest {
    fn all(objects: Vec<Value>, source: &str) -> impl Iterator<Item = Self> {
        objects.into_iter().map(|object| Self {
            object,
            source: source.to_owned(),
        })
    }
}

impl FileArguments {
    /// All objects, in the order of the files and documents. Lists are taken apart.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<Manifest>> {
        let mut objects = Vec::new();
        for name in &self.filename {
            if name.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("read standard input")?;
                objects.extend(Manifest::all(parse(&text).context("standard input")?, "STDIN"));
                continue;
            }
            for path in self.files(name)? {
                let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                let source = path.display().to_string();
                objects.extend(Manifest::all(parse(&text).with_context(|| source.clone())?, &source));
            }
        }
        if objects.is_empty() {
            bail!(
                "no objects passed to the command: there is none in {}",
                shown(&self.filename)
            );
        }
        Ok(objects)
    }

    /// The file itself, or the manifests in the directory, in order.
    fn files(&self, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        if let Some(url) = path.to_str().filter(|text| is_url(text)) {
            bail!(
                "-f takes no URLs: fetch it first, as in `curl -L {url}`, and give what comes as a file or with `-f -`"
            );
        }
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .with_context(|| format!("list {}", path.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()
            .with_context(|| format!("list {}", path.display()))?;
        entries.sort();
        let mut found = Vec::new();
        for entry in entries {
            if entry.is_dir() {
                if self.recursive {
                    found.extend(self.files(&entry)?);
                }
            } else if entry
                .extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
            {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The objects in a text.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for mut object in documents(text)? {
        if object.is_null() {
            continue; // Between two separators, or a comment only.
        }
        if !object.is_object() {
            bail!("a document is not an object with apiVersion and kind, but {object}");
        }
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match object.get_mut("items").filter(|_| is_list).map(Value::take) {
            Some(Value::Array(items)) => objects.extend(items),
            Some(_) | None => objects.push(object),
        }
    }
    Ok(objects)
}

/// JSON documents one after the other, or YAML.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with('{')
        && let Ok(objects) = serde_json::Deserializer::from_str(text).into_iter().collect()
    {
        return Ok(objects);
    }
    let documents = yaml::documents(text).map_err(|YamlError { message, line, column }| {
        // The place stands in front, where it is looked for.
        anyhow::anyhow!("line {line}, column {column}: {message}")
    })?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_and_lists_taken_apart() {
        let text = "kind: A\n---\n# nothing\n---\nkind: BList\nitems:\n- kind: B\n- kind: C\n---\n{\"kind\": \"D\"}\n";
        let kinds: Vec<Value> = parse(text)
            .expect("valid")
            .iter()
            .map(|object| object["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B", "C", "D"]);
    }

    #[test]
    fn a_url_is_refused_as_one() {
        let files = FileArguments {
            filename: vec!["https://example.org/a.yaml".into()],
            recursive: false,
        };
        let error = files.read().expect_err("nothing is fetched").to_string();
        assert!(
            error.starts_with("-f takes no URLs") && error.contains("curl -L https://example.org/a.yaml"),
            "{error}"
        );
    }

    #[test]
    fn mistakes_are_located() {
        let error = parse("kind: A\nspec:\n  a: [1\n  b: 2\n")
            .expect_err("broken")
            .to_string();
        assert!(
            error.starts_with("line 4, column ") && !error.contains("at line 4"),
            "{error}"
        );
        let error = parse("just words\n").expect_err("no object").to_string();
        assert!(error.contains("not an object"), "{error}");
    }

    #[test]
    fn numbers_and_words_are_those_of_yaml_1_1() {
        let objects =
            parse("volumes: [{configMap: {defaultMode: 0644, items: [{mode: 0400, path: '0400'}], optional: yes}}]\n");
        let volume = &objects.expect("valid")[0]["volumes"][0]["configMap"];
        assert_eq!(
            *volume,
            json!({"defaultMode": 420, "items": [{"mode": 256, "path": "0400"}], "optional": true})
        );
    }
}
