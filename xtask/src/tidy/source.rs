//! Just enough of Rust's grammar to look at code without its comments, literals and inline tests.
//!
//! Not a parser: [`code_only`] blanks comments and literals character by character and keeps every newline, so line
//! numbers stay right; [`without_tests`] then cuts `#[cfg(test)] mod … { … }`. A file that is not valid Rust gives a
//! useless answer, never a panic: the compiler will complain about it first.

/// `text` with comments and the contents of string and character literals replaced by blanks.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if !after_word(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#` at `at`, `None` if none starts there. (`b` and `c` before it stay as code.)
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut i = open + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

/// The end of a character literal at `at`, `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match chars.get(at + 1)? {
        '\\' => chars[at + 3..].iter().position(|&c| c == '\'').map(|n| at + 4 + n),
        _ => (chars.get(at + 2) == Some(&'\'')).then_some(at + 3),
    }
}

fn after_word(chars: &[char], at: usize) -> bool {
    at > 0
        && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
        && chars[at - 1] != 'b'
        && chars[at - 1] != 'c'
}

/// Blanked code (of [`code_only`]) with the bodies of `#[cfg(test)] mod … { … }` cut out, newlines kept.
pub(super) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let after = &rest[start + MARK.len()..];
        let is_module = after.trim_start().starts_with("mod ") || after.trim_start().starts_with("pub mod ");
        let open = after.find(['{', ';']).filter(|&n| is_module && after[n..].starts_with('{'));
        let Some(open) = open else {
            out.push_str(&rest[..start + MARK.len()]);
            rest = after;
            continue;
        };
        out.push_str(&rest[..start]);
        let end = closing_brace(after, open);
        out.extend(after[..end].chars().filter(|&c| c == '\n'));
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (n, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return open + n + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Lines with something other than blanks.
pub(super) fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// One-based numbers of the lines where `word` stands as a word of its own.
pub(super) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| {
        line.match_indices(word)
            .any(|(n, _)| !line[..n].ends_with(is_part) && !line[n + word.len()..].starts_with(is_part))
    };
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(n, _)| n + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let code = code_only(
            "let a = \"unsafe // \\\" x\"; // unsafe\n/* unsafe /* nested */ unsafe */ b('\"', 'c')",
        );
        assert!(lines_with_word(&code, "unsafe").is_empty(), "{code}");
        assert!(code.contains("let a =") && code.contains("b("));
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        let code = code_only("x(r#\"a \" unsafe\"#, br\"unsafe\"); unsafe_code; for_r\"unsafe\"");
        assert!(lines_with_word(&code, "unsafe").is_empty(), "{code}");
        assert!(code.contains("unsafe_code"));
    }

    #[test]
    fn lifetimes_are_not_character_literals() {
        let code = code_only("fn f<'a>(x: &'a str) -> &'a str { unsafe { x } } let c = '\\n'; let d = '{';");
        assert_eq!(lines_with_word(&code, "unsafe"), [1]);
        assert!(!code.contains("'{'"));
    }

    #[test]
    fn inline_tests_do_not_count() {
        let code = code_only("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { if x { } }\n}\nfn c() {}\n");
        assert_eq!(code_lines(&without_tests(&code)), 2);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_not_cut() {
        let code = "#[cfg(test)]\nmod tests;\nfn a() { }\n";
        assert_eq!(code_lines(&without_tests(code)), 3);
    }
}
