//! The mechanical translations between the SQL that the crate is written in and what each engine takes.
//!
//! Statements are written for PostgreSQL, restricted to what SQLite has too. For SQLite: `$1` → `?1`; locking clauses
//! (`FOR UPDATE …`) are dropped, since there is one writer; `= ANY(ARRAY(…))` → `IN (…)`; `LEAST`/`GREATEST` →
//! `min`/`max`; `json_build_object` → `json_object`; `bonded_texts`/`bonded_ints` (rows `value` from a JSON list) → `json_each`.
//! Migrations are written with `INT8`, `TEXT`, `BYTEA`; `CLUSTERED` after a table's closing bracket stores it by its
//! primary key where the engine can. Lines `-- @sqlite`, `-- @postgres`, `-- @shared` open sections.
//!
//! Texts in quotes, dollar quotes and comments are never touched.

use crate::engine::Dialect;
use crate::statement::Access;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Param,
    Space,
    Quoted,
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}

/// The first token of `rest`, which is not empty, and its length in bytes.
fn first_token(rest: &str) -> Token<'_> {
    let length = |test: fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
    let up_to = |end: &str, from: usize| {
        rest.get(from..).and_then(|tail| tail.find(end)).map_or(rest.len(), |at| from + at + end.len())
    };
    let first = rest.chars().next().unwrap_or(' ');
    let (kind, size) = if rest.starts_with("--") {
        (Kind::Space, up_to("\n", 2))
    } else if rest.starts_with("/*") {
        (Kind::Space, up_to("*/", 2))
    } else if rest.starts_with("$$") {
        (Kind::Quoted, up_to("$$", 2))
    } else if first == '\'' {
        (Kind::Quoted, up_to("'", 1))
    } else if first == '"' {
        (Kind::Quoted, up_to("\"", 1))
    } else if first == '$' {
        let digits = rest.get(1..).unwrap_or("");
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        (if count == 0 { Kind::Other } else { Kind::Param }, 1 + count)
    } else if first.is_whitespace() {
        (Kind::Space, length(char::is_whitespace))
    } else if first.is_alphanumeric() || first == '_' {
        (Kind::Word, length(|c| c.is_alphanumeric() || c == '_'))
    } else {
        (Kind::Other, first.len_utf8())
    };
    Token { kind, text: rest.get(..size).unwrap_or(rest) }
}

fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let token = first_token(rest);
        rest = rest.get(token.text.len()..).unwrap_or("");
        tokens.push(token);
    }
    tokens
}

/// The indices of the next `N` tokens from `from` that are not space.
fn solid<const N: usize>(tokens: &[Token<'_>], from: usize) -> Option<[usize; N]> {
    let mut found = (from..tokens.len()).filter(|at| tokens.get(*at).is_some_and(|t| t.kind != Kind::Space));
    let mut out = [0; N];
    for slot in &mut out {
        *slot = found.next()?;
    }
    Some(out)
}

fn matches_at(tokens: &[Token<'_>], from: usize, words: &[&str]) -> Option<usize> {
    let mut at = from;
    for word in words {
        let [next] = solid(tokens, at)?;
        if !tokens.get(next)?.is(word) {
            return None;
        }
        at = next + 1;
    }
    Some(at)
}

/// Past a locking clause that starts at `from`: `FOR [NO KEY] UPDATE | [KEY] SHARE [OF a, b] [SKIP LOCKED | NOWAIT]`.
fn past_lock(tokens: &[Token<'_>], from: usize) -> Option<usize> {
    let heads: [&[&str]; 4] =
        [&["for", "update"], &["for", "no", "key", "update"], &["for", "share"], &["for", "key", "share"]];
    let mut at = heads.iter().find_map(|head| matches_at(tokens, from, head))?;
    if let Some(after) = matches_at(tokens, at, &["of"]) {
        let [name] = solid(tokens, after)?;
        at = name + 1;
        while let Some(comma) = matches_at(tokens, at, &[","]) {
            let [name] = solid(tokens, comma)?;
            at = name + 1;
        }
    }
    let tail = matches_at(tokens, at, &["skip", "locked"]).or_else(|| matches_at(tokens, at, &["nowait"]));
    Some(tail.unwrap_or(at))
}

/// The index of the bracket that closes the one before `from`.
fn closing(tokens: &[Token<'_>], from: usize) -> Option<usize> {
    let mut depth = 1_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// A shared statement as SQLite takes it.
pub(crate) fn statement_for_sqlite(sql: &str) -> String {
    let tokens = tokens(sql);
    let mut out = String::with_capacity(sql.len());
    let mut dropped_brackets = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.kind {
            Kind::Param => {
                out.push('?');
                out.push_str(token.text.get(1..).unwrap_or(""));
            }
            Kind::Word if token.is("bonded_texts") || token.is("bonded_ints") => out.push_str("json_each"),
            Kind::Word if token.is("json_build_object") => out.push_str("json_object"),
            Kind::Word if token.is("least") => out.push_str("min"),
            Kind::Word if token.is("greatest") => out.push_str("max"),
            Kind::Word if token.is("for") => match past_lock(&tokens, at - 1) {
                Some(after) => at = after,
                None => out.push_str(token.text),
            },
            Kind::Other if token.is("=") => match matches_at(&tokens, at, &["any", "(", "array", "("]) {
                Some(inner) => {
                    out.push_str("IN (");
                    at = inner;
                    dropped_brackets.extend(closing(&tokens, inner));
                }
                None => out.push('='),
            },
            _ if dropped_brackets.contains(&(at - 1)) => {}
            _ => out.push_str(token.text),
        }
    }
    out
}

/// How many parameters a PostgreSQL text takes.
fn parameters(sql: &str) -> usize {
    let numbers = tokens(sql).into_iter().filter(|t| t.kind == Kind::Param);
    numbers.filter_map(|t| t.text.get(1..)?.parse().ok()).max().unwrap_or(0)
}

/// A step as PostgreSQL takes it: wrapped so that an unmet expectation raises. The bounds follow the statement's own
/// parameters.
pub(crate) fn counted_for_postgres(sql: &str, access: Access) -> String {
    let (least, most) = (parameters(sql) + 1, parameters(sql) + 2);
    let returning = if access == Access::Write { " RETURNING 1" } else { "" };
    format!(
        "WITH bonded_step AS ({sql}{returning}) SELECT bonded_expect(count(*), ${least}, ${most}) FROM bonded_step"
    )
}

/// A migration's text for one engine.
pub(crate) fn migration(text: &str, dialect: Dialect) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut section = String::new();
    let mut own = None;
    let flush = |section: &mut String, own: Option<Dialect>, out: &mut String| {
        match own {
            None => out.push_str(&shared_migration(section, dialect)),
            Some(only) if only == dialect => out.push_str(section),
            Some(_) => {}
        }
        section.clear();
    };
    for line in text.lines() {
        let next = match line.trim() {
            "-- @sqlite" => Some(Some(Dialect::Sqlite)),
            "-- @postgres" => Some(Some(Dialect::Postgres)),
            "-- @shared" => Some(None),
            _ => None,
        };
        if let Some(next) = next {
            flush(&mut section, own, &mut out);
            own = next;
        } else {
            section.push_str(line);
            section.push('\n');
        }
    }
    flush(&mut section, own, &mut out);
    out
}

fn shared_migration(section: &str, dialect: Dialect) -> String {
    let tokens = tokens(section);
    let mut out = String::with_capacity(section.len());
    let mut depth = 0_usize;
    let mut table = false;
    let mut clustered = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => {
                if table && dialect == Dialect::Sqlite {
                    out.push_str(if clustered { " STRICT, WITHOUT ROWID" } else { " STRICT" });
                }
                (table, clustered) = (false, false);
            }
            _ => {}
        }
        if token.kind != Kind::Word {
            out.push_str(token.text);
            continue;
        }
        if token.is("create") && matches_at(&tokens, at + 1, &["table"]).is_some() {
            table = true;
        }
        match dialect {
            _ if token.is("clustered") && depth == 0 => clustered = true,
            Dialect::Sqlite if token.is("int8") => out.push_str("INTEGER"),
            Dialect::Sqlite if token.is("bytea") => out.push_str("BLOB"),
            Dialect::Postgres if token.is("text") => out.push_str("TEXT COLLATE \"C\""),
            _ => out.push_str(token.text),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shared_statement_becomes_sqlites() {
        let sql = "UPDATE b SET x = $2, y = '$1 FOR UPDATE' WHERE id = ANY (ARRAY(SELECT id FROM b WHERE (k = $10)\
                   \n LIMIT 3 FOR UPDATE OF b, c SKIP LOCKED)) AND s = LEAST($1, s)";
        assert_eq!(
            statement_for_sqlite(sql),
            "UPDATE b SET x = ?2, y = '$1 FOR UPDATE' WHERE id IN (SELECT id FROM b WHERE (k = ?10)\n LIMIT 3 ) \
             AND s = min(?1, s)"
        );
        assert_eq!(
            statement_for_sqlite(
                "SELECT a FROM t WHERE a IN (SELECT value FROM bonded_texts($1)) FOR KEY SHARE"
            ),
            "SELECT a FROM t WHERE a IN (SELECT value FROM json_each(?1)) "
        );
    }

    #[test]
    fn a_step_is_wrapped_after_its_own_parameters() {
        let update = "UPDATE t SET a = $1 WHERE b = $2";
        assert_eq!(
            counted_for_postgres(update, Access::Write),
            "WITH bonded_step AS (UPDATE t SET a = $1 WHERE b = $2 RETURNING 1) \
             SELECT bonded_expect(count(*), $3, $4) FROM bonded_step"
        );
        assert_eq!(
            counted_for_postgres("SELECT 1 FROM t FOR SHARE", Access::Check),
            "WITH bonded_step AS (SELECT 1 FROM t FOR SHARE) \
             SELECT bonded_expect(count(*), $1, $2) FROM bonded_step"
        );
    }

    #[test]
    fn a_migration_is_translated_by_section() {
        let text = "-- TEXT in a comment\nCREATE TABLE t (a INT8 NOT NULL, b TEXT, c BYTEA, CONSTRAINT p PRIMARY KEY (a)\n) CLUSTERED;\n\
                    CREATE INDEX i ON t (b);\n-- @sqlite\nSELECT 1;\n-- @postgres\nSELECT $$TEXT$$;\n-- @shared\nCREATE TABLE u (a INT8);\n";
        assert_eq!(
            migration(text, Dialect::Sqlite),
            "-- TEXT in a comment\nCREATE TABLE t (a INTEGER NOT NULL, b TEXT, c BLOB, CONSTRAINT p PRIMARY KEY (a)\n)  STRICT, WITHOUT ROWID;\n\
             CREATE INDEX i ON t (b);\nSELECT 1;\nCREATE TABLE u (a INTEGER) STRICT;\n"
        );
        assert_eq!(
            migration(text, Dialect::Postgres),
            "-- TEXT in a comment\nCREATE TABLE t (a INT8 NOT NULL, b TEXT COLLATE \"C\", c BYTEA, CONSTRAINT p PRIMARY KEY (a)\n) ;\n\
             CREATE INDEX i ON t (b);\nSELECT $$TEXT$$;\nCREATE TABLE u (a INT8);\n"
        );
    }

    proptest! {
        #[test]
        fn tokens_lose_nothing(sql in "[a-z$'\"(); \\-*/\u{e4}0-9]{0,60}") {
            prop_assert_eq!(tokens(&sql).iter().map(|t| t.text).collect::<String>(), sql);
        }
    }
}
