//! The order of words: kubectl takes the flags that say which server and namespace in front of the verb, too.

use std::ffi::OsString;

/// Flags of every client verb that take a value, each with its names.
const VALUED: &[&[&str]] = &[&["-n", "--namespace"], &["--context"], &["--kubeconfig"]];

/// The names of the flag that a word is, and whether its value is in the same word.
fn flag_of(word: &str) -> Option<(&'static [&'static str], bool)> {
    let with_value = |name: &&str| word.strip_prefix(*name).is_some_and(|rest| rest.starts_with('='));
    VALUED.iter().find_map(|names| match word {
        word if names.contains(&word) => Some((*names, false)),
        _ if names.iter().any(with_value) => Some((*names, true)),
        _ => None,
    })
}

/// Moves connection flags that stand before the verb behind its other words (but before `--`). One that stands behind
/// the verb, too, is left out: the last one counts.
pub(crate) fn with_flags_behind_verb(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut ordered: Vec<OsString> = words.next().into_iter().collect();
    let mut moved: Vec<(&[&str], Vec<OsString>)> = Vec::new();
    let mut rest: Vec<OsString> = Vec::new();
    while let Some(word) = words.next() {
        match flag_of(&word.to_string_lossy()) {
            Some((names, true)) => moved.push((names, vec![word])),
            Some((names, false)) => moved.push((names, [word].into_iter().chain(words.next()).collect())),
            None => {
                rest.push(word);
                rest.extend(words);
                break;
            }
        }
    }
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    let behind: Vec<&[&str]> = rest[..end]
        .iter()
        .filter_map(|word| flag_of(&word.to_string_lossy()))
        .map(|(names, _)| names)
        .collect();
    moved.retain(|(names, _)| !behind.contains(names));
    ordered.extend(rest.drain(..end));
    ordered.extend(moved.into_iter().flat_map(|(_, words)| words));
    ordered.extend(rest);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_before_the_verb_move_behind_it() {
        for (given, expected) in [
            ("skep get pods", "skep get pods"),
            ("skep -n a get pods", "skep get pods -n a"),
            (
                "skep --context=c -n a get pods -o wide",
                "skep get pods -o wide --context=c -n a",
            ),
            (
                "skep -n a run x --image=i -- sh -n b",
                "skep run x --image=i -n a -- sh -n b",
            ),
            ("skep get pods -n a", "skep get pods -n a"),
            ("skep -n a get pods --namespace=b", "skep get pods --namespace=b"),
            ("skep -n a -n b get pods", "skep get pods -n a -n b"),
            ("skep -n a run x -- sh -n b", "skep run x -n a -- sh -n b"),
            ("skep", "skep"),
            ("skep -n", "skep -n"),
        ] {
            let words = given.split(' ').map(OsString::from);
            let ordered: Vec<String> = with_flags_behind_verb(words)
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            assert_eq!(ordered.join(" "), expected);
        }
    }
}
