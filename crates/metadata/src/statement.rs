//! A statement: a named constant in the SQL that SQLite and PostgreSQL share, registered so that one test prepares all
//! of them on both engines.
//!
//! The shared spelling is PostgreSQL's with `$1` placeholders and is translated to SQLite once ([`crate::dialect`]).
//! Every module that declares statements does so with [`statements!`](crate::statements) and is listed in [`ALL`].

use crate::dialect;
use std::sync::OnceLock;

/// The text of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Sql {
    /// One text for both engines.
    Shared(&'static str),
    /// Where the two have no common form.
    Each {
        /// With `?1` placeholders.
        sqlite: &'static str,
        /// With `$1` placeholders.
        postgres: &'static str,
    },
}

/// How a statement is used; decides where it runs and how its expectation is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A point read by index, some microseconds: on SQLite called directly on the async thread.
    Read,
    /// A read that may visit many rows: on SQLite on a blocking thread.
    Scan,
    /// INSERT, UPDATE or DELETE: only as a step of a transaction; its expectation counts the changed rows.
    Write,
    /// SELECT inside a transaction (with `FOR KEY SHARE` where it locks); its expectation counts the rows found.
    Check,
}

/// A registered statement. Declared by [`statements!`](crate::statements) as a `static`.
#[derive(Debug)]
pub struct Statement {
    /// Module and constant name, shown in errors and logs.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// Its text.
    pub sql: Sql,
    sqlite: OnceLock<String>,
    counted: OnceLock<String>,
}

impl Statement {
    /// For [`statements!`](crate::statements).
    pub const fn new(name: &'static str, access: Access, sql: Sql) -> Self {
        Self { name, access, sql, sqlite: OnceLock::new(), counted: OnceLock::new() }
    }

    /// The text for SQLite.
    pub fn sqlite(&'static self) -> &'static str {
        match self.sql {
            Sql::Each { sqlite, .. } => sqlite,
            Sql::Shared(shared) => self.sqlite.get_or_init(|| dialect::statement_for_sqlite(shared)),
        }
    }

    /// The text for PostgreSQL.
    pub fn postgres(&self) -> &'static str {
        match self.sql {
            Sql::Each { postgres, .. } => postgres,
            Sql::Shared(shared) => shared,
        }
    }

    /// The text for PostgreSQL that raises unless it changes or finds as many rows as its last two parameters say.
    pub(crate) fn postgres_counted(&'static self) -> &'static str {
        self.counted.get_or_init(|| dialect::counted_for_postgres(self.postgres(), self.access))
    }
}

/// Declares statements as statics and a constant `STATEMENTS` that lists them.
///
/// ```
/// metadata::statements! {
///     /// The digest of a tag.
///     pub READ_TAG = Read "SELECT digest FROM tag WHERE repository = $1 AND name = $2";
///     COUNT = Scan { sqlite: "SELECT count(*) FROM tag", postgres: "SELECT count(*) FROM tag" };
/// }
/// assert_eq!(STATEMENTS.len(), 2);
/// ```
#[macro_export]
macro_rules! statements {
    ($( $(#[$meta:meta])* $vis:vis $name:ident = $access:ident $sql:tt ;)+) => {
        $(
            $(#[$meta])*
            $vis static $name: $crate::Statement = $crate::Statement::new(
                concat!(module_path!(), "::", stringify!($name)),
                $crate::Access::$access,
                $crate::statements!(@sql $sql),
            );
        )+
        /// The statements of this module, for [`crate::statement::ALL`].
        pub const STATEMENTS: &[&$crate::Statement] = &[$(&$name),+];
    };
    (@sql { sqlite: $sqlite:expr, postgres: $postgres:expr $(,)? }) => {
        $crate::Sql::Each { sqlite: $sqlite, postgres: $postgres }
    };
    (@sql { shared: $sql:expr $(,)? }) => { $crate::Sql::Shared($sql) };
    (@sql $sql:literal) => { $crate::Sql::Shared($sql) };
}

/// The statements of all modules.
pub const ALL: &[&[&Statement]] = &[
    crate::tx::STATEMENTS,
    crate::jobs::STATEMENTS,
    crate::outbox::STATEMENTS,
    crate::schedules::STATEMENTS,
    crate::leases::STATEMENTS,
    crate::suite::STATEMENTS,
    crate::model::access::STATEMENTS,
    crate::model::adapter::STATEMENTS,
    crate::model::artifact::STATEMENTS,
    crate::model::audit::STATEMENTS,
    crate::model::blob::STATEMENTS,
    crate::model::catalog::STATEMENTS,
    crate::model::checkpoint::STATEMENTS,
    crate::model::collect::STATEMENTS,
    crate::model::combined::STATEMENTS,
    crate::model::deleted::STATEMENTS,
    crate::model::estate::STATEMENTS,
    crate::model::exposure::STATEMENTS,
    crate::model::installation::STATEMENTS,
    crate::model::keys::STATEMENTS,
    crate::model::manifest::STATEMENTS,
    crate::model::notes::STATEMENTS,
    crate::model::principal::STATEMENTS,
    crate::model::project::STATEMENTS,
    crate::model::rebuild::STATEMENTS,
    crate::model::referrers::STATEMENTS,
    crate::model::repository::STATEMENTS,
    crate::model::scan::STATEMENTS,
    crate::model::seal::STATEMENTS,
    crate::model::sealed::STATEMENTS,
    crate::model::setting::STATEMENTS,
    crate::model::tag::STATEMENTS,
    crate::model::upload::STATEMENTS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn declaring_files(dir: &Path, found: &mut usize) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                declaring_files(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("statement.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                *found += text.lines().filter(|line| line.trim_end().ends_with("statements! {")).count();
            }
        }
    }

    #[test]
    fn every_module_with_statements_is_listed_in_all() {
        let mut found = 0;
        declaring_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert_eq!(found, ALL.len(), "a module calls statements! but is not listed in statement::ALL");
    }

    #[test]
    fn names_are_unique() {
        let names: Vec<_> = ALL.iter().flat_map(|module| module.iter()).map(|s| s.name).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    }
}
