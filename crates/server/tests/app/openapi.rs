//! The published description of the native API.

use http::StatusCode;

use crate::golden::golden;
use crate::test_app::TestApp;

#[tokio::test]
async fn the_published_document_is_the_code_s() {
    let app = TestApp::new().await;
    let answer = app.ask("GET", "/api/openapi.json").send().await.expect(StatusCode::OK);
    let made = serde_json::to_string_pretty(&answer.json()).expect("JSON") + "\n";
    golden("tests/golden/openapi.json", &made);
}

#[tokio::test]
async fn every_route_of_the_native_api_is_described_under_its_own_name() {
    let app = TestApp::new().await;
    let document = app.ask("GET", "/api/openapi.json").send().await.json();
    let mut ids = std::collections::BTreeSet::new();
    for endpoint in server::app::App::routes().endpoints() {
        if endpoint.path.starts_with("/api/v1/") {
            let operation = &document["paths"][&endpoint.path][endpoint.method.as_str().to_ascii_lowercase()];
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            assert!(!id.is_empty(), "{} {} is not described", endpoint.method, endpoint.path);
            assert!(ids.insert(id.clone()), "two routes are named {id}");
        }
    }
}
