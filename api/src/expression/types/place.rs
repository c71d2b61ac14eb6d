//! Where the parts of an expression stand in its text, found as they are visited: the parser does not say.
//!
//! Parts are asked for in the order in which they stand there. What is not found is where the last one was.

/// A text and how much of it has been visited. Places are counted in characters.
pub(super) struct Places {
    /// What stands in quotes is blank.
    text: Vec<char>,
    next: usize,
    last: usize,
}

impl Places {
    pub(super) fn new(text: &str) -> Places {
        Places {
            text: without_quoted(text),
            next: 0,
            last: 0,
        }
    }

    /// Where the last part was.
    pub(super) fn here(&self) -> usize {
        self.last
    }

    /// The dot before the next field of this name.
    pub(super) fn field(&mut self, name: &str) -> usize {
        let name: Vec<char> = name.chars().collect();
        self.find(|rest| {
            let after = rest.strip_prefix(&['.'])?;
            let blank = after.iter().take_while(|c| c.is_whitespace() || **c == '`').count();
            let end = after[blank..].strip_prefix(name.as_slice())?;
            let goes_on = end.first().is_some_and(|c| c.is_alphanumeric() || *c == '_');
            (!goes_on).then_some(1 + blank + name.len())
        })
    }

    /// The next operator that is written so.
    pub(super) fn sign(&mut self, sign: &str) -> usize {
        let sign: Vec<char> = sign.chars().collect();
        self.find(|rest| {
            let end = rest.strip_prefix(sign.as_slice())?;
            // `>` is not the beginning of `>=`.
            let goes_on = end.first() == Some(&'=') && sign.last() != Some(&'=');
            (!goes_on).then_some(sign.len())
        })
    }

    /// `length` answers how long the part is that a text begins with, if it is the one.
    fn find(&mut self, length: impl Fn(&[char]) -> Option<usize>) -> usize {
        let found = (self.next..self.text.len()).find_map(|at| Some((at, length(&self.text[at..])?)));
        if let Some((at, length)) = found {
            (self.last, self.next) = (at, at + length);
        }
        self.last
    }
}

/// The characters of a text, with blanks for what stands in quotes.
fn without_quoted(text: &str) -> Vec<char> {
    let mut text: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < text.len() {
        let quote = text[at];
        if !matches!(quote, '\'' | '"') {
            at += 1;
            continue;
        }
        let is_raw = at > 0 && matches!(text[at - 1], 'r' | 'R');
        let is_long = text[at..].starts_with(&[quote, quote, quote]);
        let length = if is_long { 3 } else { 1 };
        let mut end = at + length;
        while end < text.len() && !text[end..].starts_with(&vec![quote; length]) {
            end += if text[end] == '\\' && !is_raw { 2 } else { 1 };
        }
        let end = (end + length).min(text.len());
        text[at..end].fill(' ');
        at = end;
    }
    text
}
