//! The audit as its readers see it: everything that was done, pulled or denied, numbered, in order, for who may read it.

use http::StatusCode;
use policy::{Role, Visibility};

use crate::test_app::TestApp;

#[tokio::test]
async fn pulls_logins_and_denials_are_read_in_the_order_of_their_numbers() {
    let app = TestApp::new().await;
    app.project("team", Visibility::Private).await;
    app.user("guest").await;
    app.member("team", "guest", Role::Guest).await;
    let digest = app.push_image("admin", "team/app", "v1", b"layer").await;
    let manifest = "/v2/team/app/manifests/v1";
    app.ask("GET", manifest).by("guest").send().await.expect(StatusCode::OK);
    app.ask("HEAD", manifest).by("guest").send().await.expect(StatusCode::OK);
    app.ask("DELETE", manifest).by("guest").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("DELETE", "/api/v1/projects/team").by("guest").send().await.expect(StatusCode::FORBIDDEN);
    app.ask("GET", "/api/v1/audit").by("guest").send().await.expect(StatusCode::FORBIDDEN);
    app.idle().await;
    app.registry.notes().flush().await.expect("the records");
    app.runner.run_duties_once().await.expect("the seal");

    let first = app.get("/api/v1/audit?limit=2").await.expect(StatusCode::OK).json();
    let after = first[1]["position"].as_i64().expect("a number");
    let rest = app.get(&format!("/api/v1/audit?after={after}&limit=1000")).await.json();
    let all: Vec<_> =
        [first, rest].iter().flat_map(|page| page.as_array().expect("a page").clone()).collect();
    let positions: Vec<_> = all.iter().map(|record| record["position"].as_i64().expect("a number")).collect();
    assert_eq!(positions, (1..).take(all.len()).collect::<Vec<i64>>());

    let guest: Vec<_> = all
        .iter()
        .filter(|record| record["principal"] == "guest")
        .map(|record| [&record["action"], &record["outcome"], &record["target"], &record["address"]])
        .map(|record| record.map(|text| text.as_str().expect("a text").to_owned()).join(" "))
        .collect();
    assert_eq!(
        guest,
        [
            "login done password 192.0.2.1".to_owned(),
            format!("manifest.get done team/app:v1@{digest} 192.0.2.1"),
            format!("delete denied {manifest} 192.0.2.1"),
            "delete denied /api/v1/projects/team 192.0.2.1".to_owned(),
            "read denied /api/v1/audit 192.0.2.1".to_owned(),
        ]
    );
    assert!(all.iter().any(|record| record["action"] == "manifest.put" && record["principal"] == "admin"));
}
