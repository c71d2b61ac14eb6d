//! The order of words: kubectl takes the flags that say which server and namespace in front of the verb, too.

use std::ffi::OsString;

/// Flags of every client verb that take a value.
const VALUED: &[&str] = &["-n", "--namespace", "--context", "--kubeconfig"];

/// Moves connection flags that stand before the verb behind its other words (but before `--`).
pub(crate) fn with_flags_behind_verb(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut ordered: Vec<OsString> = words.next().into_iter().collect();
    let mut moved = Vec::new();
    let mut rest: Vec<OsString> = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if VALUED.contains(&text.as_str()) {
            moved.push(word);
            moved.extend(words.next());
        } else if VALUED.iter().any(|flag| text.starts_with(&format!("{flag}="))) {
            moved.push(word);
        } else {
            rest.push(word);
            rest.extend(words);
            break;
        }
    }
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    ordered.extend(rest.drain(..end));
    ordered.extend(moved);
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
