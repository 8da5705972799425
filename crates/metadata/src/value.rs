//! The values that go into and come out of a statement: the four types that both engines store in the same way.
//!
//! A flag is an `Int` of 0 or 1, a time an `Int` of microseconds, a digest its text. Reading a column as a type that
//! it has not is `Inconsistent` with the statement's name and the column, never a panic.

use crate::error::StoreError;
use bytes::Bytes;

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// `INT8`.
    Int(i64),
    /// `TEXT`, compared byte by byte.
    Text(String),
    /// `BYTEA` / `BLOB`.
    Bytes(Bytes),
}

impl Value {
    /// Bytes that this value holds beside its own size, for the bounds of a group commit.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Int(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// A list of texts for `bonded_texts($n)`.
    pub fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let list = items.into_iter().map(|item| serde_json::Value::from(item.as_ref())).collect();
        Self::Text(serde_json::Value::Array(list).to_string())
    }

    /// A list of integers for `bonded_ints($n)`.
    pub fn ints(items: impl IntoIterator<Item = i64>) -> Self {
        let list = items.into_iter().map(serde_json::Value::from).collect();
        Self::Text(serde_json::Value::Array(list).to_string())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "int",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(value))
    }
}
impl From<Bytes> for Value {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}
impl From<oci::Digest> for Value {
    fn from(value: oci::Digest) -> Self {
        Self::Text(value.to_string())
    }
}
impl From<&oci::Digest> for Value {
    fn from(value: &oci::Digest) -> Self {
        Self::Text(value.to_string())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An array of parameters from values of any of the accepted types: `params![repository, digest, Some(size)]`.
#[macro_export]
macro_rules! params {
    () => { [$crate::Value::Null; 0] };
    ($($value:expr),+ $(,)?) => { [$($crate::Value::from($value)),+] };
}

/// One row of an answer; columns are addressed by index, as the statement lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    statement: &'static str,
    values: Vec<Value>,
}

impl Row {
    /// A row as an engine makes it; `statement` is the name shown in errors.
    pub fn new(statement: &'static str, values: Vec<Value>) -> Self {
        Self { statement, values }
    }

    /// All columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The column as an integer.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        match self.at(column)? {
            Value::Int(value) => Ok(*value),
            other => Err(self.mismatch(column, "int", other)),
        }
    }

    /// The column as an integer, or `None` for NULL.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        if self.is_null(column)? { Ok(None) } else { self.int(column).map(Some) }
    }

    /// The column as a non-negative integer: sizes and counts.
    pub fn uint(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| self.bad(column, "is negative"))
    }

    /// The column as a flag; anything but 0 and 1 is inconsistent.
    pub fn bool(&self, column: usize) -> Result<bool, StoreError> {
        match self.int(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(column, "is no flag")),
        }
    }

    /// The column as text.
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        match self.at(column)? {
            Value::Text(value) => Ok(value),
            other => Err(self.mismatch(column, "text", other)),
        }
    }

    /// The column as text, or `None` for NULL.
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, StoreError> {
        if self.is_null(column)? { Ok(None) } else { self.text(column).map(Some) }
    }

    /// The column as bytes, shared with the row.
    pub fn bytes(&self, column: usize) -> Result<Bytes, StoreError> {
        match self.at(column)? {
            Value::Bytes(value) => Ok(value.clone()),
            other => Err(self.mismatch(column, "bytes", other)),
        }
    }

    /// The column as bytes, or `None` for NULL.
    pub fn opt_bytes(&self, column: usize) -> Result<Option<Bytes>, StoreError> {
        if self.is_null(column)? { Ok(None) } else { self.bytes(column).map(Some) }
    }

    /// The column's text parsed; a text that does not parse is inconsistent.
    pub fn parse<T: std::str::FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| self.bad(column, "does not parse"))
    }

    /// The column's text parsed, or `None` for NULL.
    pub fn opt_parse<T: std::str::FromStr>(&self, column: usize) -> Result<Option<T>, StoreError> {
        if self.is_null(column)? { Ok(None) } else { self.parse(column).map(Some) }
    }

    /// The column as a digest.
    pub fn digest(&self, column: usize) -> Result<oci::Digest, StoreError> {
        self.parse(column)
    }

    /// The column as a typed id, a time or another newtype over `i64`.
    pub fn id<T: From<i64>>(&self, column: usize) -> Result<T, StoreError> {
        self.int(column).map(T::from)
    }

    /// The column as a newtype over `i64`, or `None` for NULL.
    pub fn opt_id<T: From<i64>>(&self, column: usize) -> Result<Option<T>, StoreError> {
        Ok(self.opt_int(column)?.map(T::from))
    }

    /// Whether the column is NULL.
    pub fn is_null(&self, column: usize) -> Result<bool, StoreError> {
        Ok(matches!(self.at(column)?, Value::Null))
    }

    /// An error about a column, for readers that know more than its type.
    pub fn bad(&self, column: usize, what: &str) -> StoreError {
        StoreError::inconsistent(format!("{}: column {column} {what}", self.statement))
    }

    fn at(&self, column: usize) -> Result<&Value, StoreError> {
        self.values.get(column).ok_or_else(|| self.bad(column, "does not exist"))
    }

    fn mismatch(&self, column: usize, wanted: &str, found: &Value) -> StoreError {
        self.bad(column, &format!("is {} where {wanted} was expected", found.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_another_type_is_inconsistent_and_named() {
        let row = Row::new("tags::READ", vec![Value::Int(7), Value::Null, Value::from("x")]);
        assert_eq!(row.int(0), Ok(7));
        assert_eq!(row.opt_text(1), Ok(None));
        let error = row.int(2).unwrap_err().to_string();
        assert!(error.contains("tags::READ: column 2 is text where int was expected"), "{error}");
        assert!(row.text(3).unwrap_err().to_string().contains("does not exist"));
        assert!(row.bool(0).is_err());
    }

    #[test]
    fn lists_are_json() {
        assert_eq!(Value::texts(["a\"b", "c"]), Value::from(r#"["a\"b","c"]"#));
        assert_eq!(Value::ints([1, -2]), Value::from("[1,-2]"));
    }
}
