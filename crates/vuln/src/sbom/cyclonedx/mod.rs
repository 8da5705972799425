//! CycloneDX (ECMA-424): written as 1.4 to 1.7 in JSON and XML, read as 1.0 to 1.7 (1.0 and 1.1: XML).
//!
//! XML documents become the JSON form first, so one set of rules (the official JSON schemas) and one reader serve
//! both; what is converted is named in `xml_read`.

mod early;
mod model;
mod read;
mod schema;
mod write;
mod xml_read;
mod xml_tree;
mod xml_write;

pub(crate) use model::{Bom, hash_name};
pub(crate) use read::read_value;
pub(crate) use schema::{check, is_license_id};
pub(crate) use write::{bom, write_json};
pub(crate) use xml_read::to_json;
pub(crate) use xml_tree::{Node as XmlNode, parse as xml_tree};
pub(crate) use xml_write::write_xml;
