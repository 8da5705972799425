//! Stories on the whole application in one process, without a socket: SQLite and blobs in memory, a clock that stands
//! still until it is moved, randomness from a seed.
//!
//! Golden files are compared with what the code makes; `UPDATE_GOLDEN=1 cargo test --workspace --test app` writes them
//! anew.

mod adapter;
mod answers;
mod audit;
mod beside;
mod commits;
mod conditions;
#[path = "../common/golden.rs"]
mod golden;
mod images;
mod listing;
mod matrix;
mod news;
mod openapi;
mod pushes;
mod requests;
mod scan;
mod scan_api;
mod scan_index;
mod scanners;
mod security_hub;
mod system;
mod test_app;
mod tokens;
