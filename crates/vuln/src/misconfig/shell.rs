//! Shell text as simple commands: enough of POSIX syntax to say which programs a `RUN` starts, in which order.

/// Most commands of one text.
const MAX_COMMANDS: usize = 10_000;

/// The simple commands of a shell text as words, quotes removed; reserved words, assignments and groups are stripped.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let mut split = Splitter::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(next) => split.push(next),
            },
            '\'' => {
                split.in_word = true;
                for c in chars.by_ref().take_while(|c| *c != '\'') {
                    split.push(c);
                }
            }
            '"' => {
                split.in_word = true;
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => split.push(chars.next().unwrap_or('\\')),
                        c => split.push(c),
                    }
                }
            }
            '#' if !split.in_word => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
            }
            // `>&2`, `2>&1`, `&>file`: redirections, not separators.
            '>' | '<' => {
                split.push(c);
                if chars.peek() == Some(&'&') {
                    split.push('&');
                    chars.next();
                }
            }
            '&' if chars.peek() == Some(&'>') => split.push('&'),
            ';' | '&' | '|' | '\n' => split.end_command(),
            '(' | ')' | '`' if !split.word.ends_with('$') => split.end_command(),
            c if c.is_whitespace() => split.end_word(),
            c => split.push(c),
        }
    }
    split.end_command();
    split.done
}

#[derive(Default)]
struct Splitter {
    done: Vec<Vec<String>>,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Splitter {
    fn push(&mut self, c: char) {
        self.in_word = true;
        self.word.push(c);
    }

    fn end_word(&mut self) {
        if !std::mem::take(&mut self.in_word) {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let first = self.words.is_empty();
        let reserved = matches!(
            word.as_str(),
            "if" | "then"
                | "else"
                | "elif"
                | "fi"
                | "do"
                | "done"
                | "while"
                | "until"
                | "{"
                | "}"
                | "!"
                | "time"
                | "exec"
        );
        let assignment = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        });
        if !(first && (reserved || assignment)) {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() && self.done.len() < MAX_COMMANDS {
            self.done.push(std::mem::take(&mut self.words));
        }
        self.words.clear();
    }
}

/// The program of a command without its directory, looking through `sudo`, `env` and shells' `-c`.
pub fn program(command: &[String]) -> &str {
    let first = command.first().map(String::as_str).unwrap_or_default();
    first.rsplit('/').next().unwrap_or(first)
}

/// Whether a command starts one of the programs with one of the subcommands, options aside.
pub fn runs(command: &[String], programs: &[&str], subcommands: &[&str]) -> bool {
    let at = command.iter().position(|word| programs.contains(&word.rsplit('/').next().unwrap_or(word)));
    let Some(at) = at.filter(|at| *at <= 2) else { return false };
    command[at + 1..].iter().any(|word| subcommands.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_quotes_and_reserved_words() {
        let found = commands(
            "set -e; if [ -f x ]; then A=1 apt-get  update 2>&1 && echo 'a && b' | \\\n tee \"c d\"; fi",
        );
        let found: Vec<String> = found.iter().map(|words| words.join("_")).collect();
        assert_eq!(found, ["set_-e", "[_-f_x_]", "apt-get_update_2>&1", "echo_a && b", "tee_c d"]);
    }
}
