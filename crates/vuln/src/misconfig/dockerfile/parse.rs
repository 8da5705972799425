//! The syntax of Dockerfiles: parser directives, continuation lines, comments, here-documents, flags, JSON forms, stages.
//!
//! Total: any text gives a result. What is no instruction is kept as an instruction of that name, which no rule knows.

/// Most instructions that are kept.
const MAX_INSTRUCTIONS: usize = 10_000;

/// One instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Name in lower case; of `ONBUILD x` that of `x`.
    pub name: String,
    /// `--name=value` before the arguments.
    pub flags: Vec<String>,
    /// The arguments as written, continuation lines joined, here-documents included.
    pub text: String,
    /// The arguments as words: those of the JSON form, else split at spaces, quotes removed.
    pub words: Vec<String>,
    /// Whether the JSON (exec) form was used.
    pub json: bool,
    /// First line, from 1.
    pub start_line: usize,
    /// Last line.
    pub end_line: usize,
}

impl Instruction {
    /// The instruction as it would be written on one line.
    pub fn display(&self) -> String {
        let mut parts = vec![self.name.to_uppercase()];
        parts.extend(self.flags.iter().cloned());
        parts.push(self.text.lines().next().unwrap_or_default().to_owned());
        parts.join(" ")
    }

    /// What a shell would run: the text, or the words of the exec form.
    pub fn command(&self) -> String {
        if self.json {
            match self.words.as_slice() {
                // ["sh", "-c", "text"]
                [shell, option, text, ..] if shell.ends_with("sh") && option.ends_with('c') => text.clone(),
                words => words.join(" "),
            }
        } else {
            self.text.clone()
        }
    }
}

/// One build stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Image as written after FROM.
    pub image: String,
    /// Name after AS, lower case.
    pub alias: Option<String>,
    /// Instructions, FROM first.
    pub instructions: Vec<Instruction>,
}

/// A parsed Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// Instructions before the first FROM (only ARG is allowed there).
    pub preamble: Vec<Instruction>,
    /// Stages in order.
    pub stages: Vec<Stage>,
}

/// Parses a Dockerfile.
pub fn parse(text: &str) -> Dockerfile {
    let mut out = Dockerfile::default();
    for instruction in instructions(text).into_iter().take(MAX_INSTRUCTIONS) {
        if instruction.name == "from" {
            let alias = match instruction.words.as_slice() {
                [_, keyword, alias, ..] if keyword.eq_ignore_ascii_case("as") => Some(alias.to_lowercase()),
                _ => None,
            };
            let image = instruction.words.first().cloned().unwrap_or_default();
            out.stages.push(Stage { image, alias, instructions: vec![instruction] });
        } else {
            match out.stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None => out.preamble.push(instruction),
            }
        }
    }
    out
}

/// The escape character that the parser directive `# escape=` sets.
fn escape_character(text: &str) -> char {
    for line in text.lines() {
        let Some(comment) = line.trim().strip_prefix('#') else { break };
        let Some((name, value)) = comment.split_once('=') else { break };
        if name.trim().eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
    }
    '\\'
}

fn instructions(text: &str) -> Vec<Instruction> {
    let escape = escape_character(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        let mut joined = String::new();
        let mut open = true;
        while open && at < lines.len() {
            let line = lines[at];
            at += 1;
            let trimmed = line.trim_start();
            if trimmed.starts_with('#') || (trimmed.is_empty() && !joined.is_empty()) {
                // Comments and empty lines inside a continuation are dropped.
                if joined.is_empty() {
                    break;
                }
                continue;
            }
            let end = line.trim_end();
            match end.strip_suffix(escape) {
                Some(head) => joined.push_str(if joined.is_empty() { head.trim_start() } else { head }),
                None => {
                    joined.push_str(if joined.is_empty() { end.trim_start() } else { end });
                    open = false;
                }
            }
        }
        if joined.trim().is_empty() {
            continue;
        }
        let mut text = joined;
        for marker in heredocs(&text) {
            while at < lines.len() {
                let line = lines[at];
                at += 1;
                let plain = if marker.strip_tabs { line.trim_start_matches('\t') } else { line };
                if plain == marker.word {
                    break;
                }
                text.push('\n');
                text.push_str(line);
            }
        }
        out.push(instruction(&text, start + 1, at));
    }
    out
}

struct Marker {
    word: String,
    strip_tabs: bool,
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"` of RUN, COPY and ADD.
fn heredocs(text: &str) -> Vec<Marker> {
    let name = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if !matches!(name.as_str(), "run" | "copy" | "add") {
        return Vec::new();
    }
    text.split("<<")
        .skip(1)
        .filter(|rest| !rest.starts_with('<'))
        .filter_map(|rest| {
            let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
            let rest = rest.trim_start_matches(['"', '\'']);
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let word = rest[..end].to_owned();
            (!word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit()))
                .then_some(Marker { word, strip_tabs })
        })
        .collect()
}

fn instruction(text: &str, start_line: usize, end_line: usize) -> Instruction {
    let (name, mut rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut name = name.to_lowercase();
    if name == "onbuild" {
        let (inner, tail) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        name = inner.to_lowercase();
        rest = tail;
    }
    let mut flags = Vec::new();
    rest = rest.trim_start();
    while let Some(tail) =
        rest.strip_prefix("--").filter(|tail| tail.starts_with(|c: char| c.is_ascii_alphabetic()))
    {
        let end = tail.find(char::is_whitespace).unwrap_or(tail.len());
        flags.push(format!("--{}", &tail[..end]));
        rest = tail[end..].trim_start();
    }
    let rest = rest.trim_end();
    let parsed: Option<Vec<String>> =
        rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten();
    let json = parsed.is_some();
    let words = parsed.unwrap_or_else(|| words(rest));
    Instruction { name, flags, text: rest.to_owned(), words, json, start_line, end_line }
}

/// Words at spaces; quotes are removed, and keep their spaces.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                in_word = true;
            }
            None if c.is_whitespace() => {
                if std::mem::take(&mut in_word) {
                    out.push(std::mem::take(&mut word));
                }
            }
            None => {
                word.push(c);
                in_word = true;
            }
        }
    }
    if in_word {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_comments_flags_and_stages() {
        let text = "# syntax=docker/dockerfile:1\nARG V=1\nFROM --platform=linux/amd64 golang:${V} AS Build\n\
            RUN --mount=type=cache,target=/x a && \\\n  # why\n\n  b\nFROM scratch\nCOPY --from=build [\"a b\", \"/c\"]\n";
        let file = parse(text);
        assert_eq!(file.preamble[0].words, ["V=1"]);
        assert_eq!(file.stages[0].alias.as_deref(), Some("build"));
        let run = &file.stages[0].instructions[1];
        assert_eq!((run.text.as_str(), run.start_line, run.end_line), ("a &&   b", 4, 7));
        assert_eq!(run.flags, ["--mount=type=cache,target=/x"]);
        assert_eq!(file.stages[1].instructions[1].words, ["a b", "/c"]);
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let file = parse("FROM a\nRUN <<EOF\napt-get update\nFROM b\nEOF\nUSER x\n");
        assert_eq!(file.stages.len(), 1);
        assert_eq!(file.stages[0].instructions[1].text, "<<EOF\napt-get update\nFROM b");
        assert_eq!(file.stages[0].instructions[2].name, "user");
    }

    #[test]
    fn escape_directive_changes_continuation() {
        let file = parse("# escape=`\nFROM a\nRUN dir `\n c:\\\nUSER x\n");
        assert_eq!(file.stages[0].instructions[1].text, "dir  c:\\");
        assert_eq!(file.stages[0].instructions[2].name, "user");
    }
}
