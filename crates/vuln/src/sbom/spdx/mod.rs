//! SPDX (ISO/IEC 5962): 2.3 JSON and 3.0.1 JSON-LD written; 2.2 and 2.3 (JSON, tag-value) and 3.0 read.

mod check_v2;
mod check_v3;
mod expression;
mod read_v2;
mod read_v3;
mod tag_value;
mod write_v2;
mod write_v3;

pub(crate) use check_v2::check_v2;
pub(crate) use check_v3::check_v3;
pub(crate) use read_v2::read_v2;
pub(crate) use read_v3::read_v3;
pub(crate) use tag_value::tag_value;
pub(crate) use write_v2::write_v2_json;
pub(crate) use write_v3::write_v3_json;
