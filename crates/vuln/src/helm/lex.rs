//! Go's template language, cut into text and the words of actions.

/// Most actions of a file.
const MAX_ACTIONS: usize = 20_000;

/// A part of a file.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    /// The line on which an action begins, and its words.
    Action(usize, Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    Open,
    /// With the fields that follow the parenthesis.
    Close(Vec<String>),
}

/// Cuts a file into pieces; spaces that actions trim are gone.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut trim = false;
    let (mut actions, mut line, mut seen) = (0, 1, 0);
    loop {
        let (before, action) =
            rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        let before = if trim { before.trim_start() } else { before };
        let Some(action) = action else {
            out.push(Piece::Text(before.to_owned()));
            return Ok(out);
        };
        let inner = action.strip_prefix('-').filter(|inner| inner.starts_with([' ', '\t', '\n', '\r']));
        let before = if inner.is_some() { before.trim_end() } else { before };
        if !before.is_empty() {
            out.push(Piece::Text(before.to_owned()));
        }
        let start = text.len() - action.len();
        line += memchr::memchr_iter(b'\n', text.as_bytes().get(seen..start).unwrap_or_default()).count();
        seen = start;
        actions += 1;
        if actions > MAX_ACTIONS {
            return Err(format!("more than {MAX_ACTIONS} actions"));
        }
        let inner = inner.unwrap_or(action);
        let (tokens, after) = match inner.trim_start().strip_prefix("/*") {
            Some(comment) => {
                let end =
                    comment.split_once("*/").ok_or_else(|| format!("line {line}: a comment has no end"))?;
                (Vec::new(), end.1)
            }
            None => words(inner).map_err(|why| format!("line {line}: {why}"))?,
        };
        // A trim marker has a space before it.
        let bare = after.trim_start();
        let (closed, trims) = match (bare.strip_prefix("-}}"), bare.strip_prefix("}}")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return Err(format!("line {line}: an action has no end")),
        };
        out.push(Piece::Action(line, tokens));
        (rest, trim) = (closed, trims);
    }
}

/// The words of an action, and what follows them, from `}}` or `-}}` on.
fn words(text: &str) -> Result<(Vec<Token>, &str), String> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            return Ok((out, rest));
        }
        let (token, after) = word(rest)?;
        out.push(token);
        rest = after;
    }
}

fn word(text: &str) -> Result<(Token, &str), String> {
    let mut chars = text.chars();
    let first = chars.next().ok_or("an action has no end")?;
    let after = chars.as_str();
    Ok(match first {
        '|' => (Token::Pipe, after),
        ',' => (Token::Comma, after),
        '(' => (Token::Open, after),
        ')' => {
            let (fields, after) = fields(after);
            (Token::Close(fields), after)
        }
        '=' => (Token::Assign, after),
        ':' if after.starts_with('=') => (Token::Declare, &after[1..]),
        '`' => {
            let (inner, after) = after.split_once('`').ok_or("a raw text has no end")?;
            (Token::Text(inner.to_owned()), after)
        }
        '"' => quoted(after)?,
        '.' => {
            let (fields, after) = fields(text);
            (Token::Field(fields), if fields_empty(text) { &text[1..] } else { after })
        }
        '$' => {
            let (name, after) = identifier(after);
            let (fields, after) = fields(after);
            (Token::Variable(name.to_owned(), fields), after)
        }
        '0'..='9' | '-' | '+' | '\'' => number(text)?,
        c if c.is_alphabetic() || c == '_' => {
            let (name, after) = identifier(text);
            (Token::Word(name.to_owned()), after)
        }
        other => return Err(format!("`{other}` is not understood")),
    })
}

/// Whether a dot stands alone.
fn fields_empty(text: &str) -> bool {
    !text.chars().nth(1).is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn identifier(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// `.a.b` and what follows.
fn fields(text: &str) -> (Vec<String>, &str) {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(after) = rest.strip_prefix('.') {
        let (name, after) = identifier(after);
        if name.is_empty() {
            break;
        }
        out.push(name.to_owned());
        rest = after;
    }
    (out, rest)
}

fn number(text: &str) -> Result<(Token, &str), String> {
    if let Some(character) = text.strip_prefix('\'') {
        let (inner, after) = character.split_once('\'').ok_or("a character has no end")?;
        return Ok((Token::Int(inner.chars().next().map_or(0, |c| i64::from(u32::from(c)))), after));
    }
    let sign = usize::from(text.starts_with(['-', '+']));
    let end = text[sign..].find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
    let (word, after) = text.split_at(end.map_or(text.len(), |end| end + sign));
    let plain = word.replace('_', "");
    let hexadecimal = plain.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16));
    let octal = plain.strip_prefix("0o").map(|digits| i64::from_str_radix(digits, 8));
    let token = match hexadecimal.or(octal) {
        Some(number) => number.ok().map(Token::Int),
        None => plain.parse().ok().map(Token::Int).or_else(|| plain.parse().ok().map(Token::Float)),
    };
    Ok((token.ok_or_else(|| format!("`{word}` is no number"))?, after))
}

/// A text with Go's escapes, after its opening quote.
fn quoted(text: &str) -> Result<(Token, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), &text[at + 1..])),
            '\n' => break,
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('x' | 'u')) => {
                    let digits: String =
                        chars.by_ref().take(if c == 'x' { 2 } else { 4 }).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    out.push(code.ok_or("an escape is not understood")?);
                }
                Some(c) => out.push(c),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a text has no end".to_owned())
}
