//! [`TestApp`]: the application as `bonded serve` composes it, on stores in memory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use blobs::{BlobKey, BlobStore as _, Budget, MemoryBlobs};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use metadata::model::PrincipalId;
use metadata::model::access::{self, PrincipalRow};
use metadata::model::principal;
use metadata::outbox::Event;
use metadata::{Engine, ManualClock, SeededRandom, Sqlite, Store};
use policy::{Role, Visibility};
use registry::admin::{ADMIN, NewProject, ProjectRef, plain};
use registry::{Caller, Parts, Registry, Sealer};
use serde_json::{Value, json};
use server::app::{self, App};
use server::config::Config;
use server::config::log::Access;
use server::http::request_id::RequestIds;
use server::http::{ConnectionInfo, Limits, Listener, RequestContext, Server, TrustedProxies};
use server::telemetry::ops::{self, MetricsAccess};
use server::telemetry::{Health, Metrics, Telemetry};
use tower_service::Service as _;
use workers::Runner;
use workers::index::Index;

/// The password of every user of a [`TestApp`].
pub(crate) const PASSWORD: &str = "Correct-Horse-7";

/// The media type of images.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A cheap hash of [`PASSWORD`]: hundreds of users are made, and how dear a hash is is not what is tested.
fn cheap_hash() -> String {
    use argon2::password_hash::PasswordHasher as _;
    let cheap = argon2::Params::new(8, 1, 1, None).expect("parameters");
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    hasher.hash_password(PASSWORD.as_bytes()).expect("a hash").to_string()
}

/// Events that a story may ask for.
type Told = Arc<Mutex<Vec<Event>>>;

/// The application in one process. Dropped with work left over, it fails its test: end with [`TestApp::idle`].
pub(crate) struct TestApp {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Arc<Registry>,
    engine: Arc<dyn Engine>,
    pub(crate) blobs: Arc<MemoryBlobs>,
    config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) runner: Arc<Runner>,
    told: Told,
    router: Router,
    ids: RequestIds,
}

impl TestApp {
    /// A fresh installation.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A fresh installation with another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Sqlite::memory().expect("a database in memory"), change).await
    }

    /// A fresh installation on this engine.
    pub(crate) async fn on(engine: Arc<dyn Engine>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        // Stories of scanning switch it on.
        config.scan.on_push = false;
        change(&mut config);
        let clock = Arc::new(ManualClock::default());
        let app = Self::open(engine, Arc::new(MemoryBlobs::new()), clock, Arc::new(config), 1).await;
        app.set_password(ADMIN).await;
        app
    }

    /// One more process on the same database, blobs, clock and keys.
    pub(crate) async fn replica(&self) -> Self {
        let (engine, blobs) = (self.engine.clone(), self.blobs.clone());
        Self::open(engine, blobs, self.clock.clone(), self.config.clone(), 2).await
    }

    async fn open(
        engine: Arc<dyn Engine>,
        blobs: Arc<MemoryBlobs>,
        clock: Arc<ManualClock>,
        config: Arc<Config>,
        seed: u64,
    ) -> Self {
        let parts = Parts {
            store: Store::new(engine.clone(), clock.clone(), Arc::new(SeededRandom::new(seed))),
            blobs: blobs.clone(),
            budget: Budget::new(64 << 20, Duration::from_secs(10)),
            sealer: Arc::new(Sealer::new(&[7; 32]).expect("a sealer")),
            settings: app::settings(&config),
        };
        let (registry, _corrupt) = Registry::open(parts).await.expect("a registry");
        let proxies = TrustedProxies::new(config.server.trusted_proxies.clone(), config.server.forwarding);
        let scanner = app::scanner(&registry, &config).expect("a scanner");
        let index = Arc::new(Index::new(scanner.clone()));
        let shared = Arc::new(App {
            registry: registry.clone(),
            scanner,
            index: index.clone(),
            config: config.clone(),
            proxies,
        });
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new("test")));
        metrics.watch_storage(registry.clone());
        let access = config.metrics.token.clone().map_or(MetricsAccess::Nobody, MetricsAccess::Token);
        let router = shared.router().merge(ops::router(health, metrics.clone(), access));
        let told = Told::default();
        let mut runner = app::runner(&registry, &index, &config).expect("a runner");
        for kind in ["advisory_matched", "saved_search_changed", "verdict_changed"] {
            let told = Arc::clone(&told);
            runner = runner.reaction(kind, move |event| {
                told.lock().expect("the events").push(event.clone());
                Ok(Vec::new())
            });
        }
        let (runner, ids) = (runner.build(), RequestIds::new(seed));
        metrics.watch_jobs(runner.figures().clone());
        Self { clock, registry, engine, blobs, config, metrics, runner, told, router, ids }
    }

    /// The events of a kind that were dispatched, each with its project: what they say.
    pub(crate) fn told(&self, kind: &str) -> Vec<(Option<i64>, Value)> {
        let told = self.told.lock().expect("the events");
        let of_kind = told.iter().filter(|event| event.kind == kind);
        of_kind.map(|it| (it.project, serde_json::from_str(&it.payload).expect("JSON"))).collect()
    }

    /// Moves the clock, as the background does compares the access facts.
    pub(crate) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.registry.access().refresh(0).await.expect("access facts");
    }

    /// Runs events and jobs until nothing is due; none may fail.
    pub(crate) async fn idle(&self) {
        let done = self.runner.run_to_idle().await.expect("the jobs run to idle");
        let left = self.runner.left_over().await.expect("what is left");
        assert_eq!((done.failed, done.retried), (0, 0), "jobs failed; left over: {left:?}");
    }

    /// Serves it on a socket of this machine for as long as the test runs; where.
    pub(crate) async fn listen(&self) -> url::Url {
        self.listen_at(0).await
    }

    /// The same at a port that the configuration names already.
    pub(crate) async fn listen_at(&self, port: u16) -> url::Url {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let listener = Listener::bind(address).await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let limits = Limits::from(&*self.config);
        let observer = Arc::new(Telemetry::new(self.metrics.clone(), Access::Off));
        let server = Arc::new(Server::new(limits, observer, TrustedProxies::default(), 7));
        tokio::spawn(server.serve(listener, self.router.clone()));
        format!("http://{address}").parse().expect("an address")
    }

    /// The administrator, calling use cases directly.
    pub(crate) fn admin(&self) -> Caller {
        let facts = self.registry.access().facts();
        let fact = facts.principal_named(ADMIN).expect("the administrator");
        let principal = registry::Principal {
            id: Some(fact.row.id),
            name: fact.name.clone(),
            scope: None,
            address: None,
        };
        Caller { principal, address: None, request_id: None }
    }

    async fn set_password(&self, name: &str) {
        let id = self.id_of(name);
        let store = self.registry.store();
        let mut tx = store.begin().await.expect("a transaction");
        access::raise(&mut tx);
        principal::set_password(&mut tx, id, &cheap_hash());
        store.commit(tx).await.expect("a password");
        self.registry.access().refresh(0).await.expect("access facts");
    }

    /// The id of a user.
    pub(crate) fn id_of(&self, name: &str) -> PrincipalId {
        self.registry.access().facts().principal_named(name).expect("a user").row.id
    }

    /// Makes a user with [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str) -> PrincipalId {
        let store = self.registry.store();
        let id = store.next_id().await.expect("an id");
        let row = PrincipalRow {
            id,
            kind: "user".to_owned(),
            name: name.to_owned(),
            display_name: name.to_owned(),
            email: None,
            password: Some(cheap_hash()),
            disabled: false,
            epoch: 0,
            created_at: store.now(),
        };
        let mut tx = store.begin().await.expect("a transaction");
        access::raise(&mut tx);
        principal::insert(&mut tx, &row);
        store.commit(tx).await.expect("a user");
        self.registry.access().refresh(0).await.expect("access facts");
        id
    }

    /// Makes a project.
    pub(crate) async fn project(&self, name: &str, visibility: Visibility) {
        let new = NewProject { name: name.parse().expect("a project's name"), visibility };
        self.registry.create_project(&self.admin(), &new).await.expect("a project");
    }

    /// Gives a user a role in a project.
    pub(crate) async fn member(&self, project: &str, user: &str, role: Role) {
        let project = ProjectRef::Name(project.to_owned());
        self.registry.add_member(&self.admin(), &project, user, plain(role)).await.expect("a member");
    }

    /// Gives a user a role on the system.
    pub(crate) async fn system_role(&self, user: &str, role: Role) {
        self.registry.give_role(&self.admin(), user, role).await.expect("a role");
    }

    /// A request to be sent.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(path).header(HOST, "registry.test");
        Ask { app: self, request, body: Body::empty() }
    }

    /// `GET`, as the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).by(ADMIN).send().await
    }

    /// An access token for a user, as the token service gives it.
    pub(crate) async fn token(&self, user: &str, scope: &str) -> String {
        let path = format!("/service/token?service=bonded&scope={scope}");
        let answer = self.ask("GET", &path).by(user).send().await.expect(StatusCode::OK);
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Uploads a blob in one POST; its digest.
    pub(crate) async fn push_blob(&self, user: &str, repo: &str, content: &[u8]) -> String {
        let digest = oci::Digest::sha256(content).to_string();
        let path = format!("/v2/{repo}/blobs/uploads/?digest={digest}");
        let ask = self.ask("POST", &path).by(user).bytes("application/octet-stream", content.to_vec());
        ask.send().await.expect(StatusCode::CREATED);
        digest
    }

    /// Keys and sizes of the objects in blob storage, unfinished ones too.
    pub(crate) async fn objects(&self) -> Vec<(BlobKey, u64)> {
        let listed = self.blobs.list(None, 1000).await.expect("a list");
        let objects = listed.into_iter().filter(|listed| !listed.key.is_of_series());
        objects.map(|listed| (listed.key, listed.size)).collect()
    }

    /// Loses the object of a blob, as a disk may.
    pub(crate) async fn lose(&self, content: &[u8]) {
        let row = self.registry.store().blob(&oci::Digest::sha256(content)).await.expect("an answer");
        let key = BlobKey::parse(&row.expect("a blob").object_key).expect("a key");
        self.blobs.delete(key).await.expect("deleted");
    }

    /// Pushes an image whose one layer is `layer`; its digest.
    pub(crate) async fn push_image(&self, user: &str, repo: &str, tag: &str, layer: &[u8]) -> String {
        let config = self.push_blob(user, repo, b"{}").await;
        let digest = self.push_blob(user, repo, layer).await;
        let manifest = image(&config, &digest, layer.len());
        let path = format!("/v2/{repo}/manifests/{tag}");
        let answer = self.ask("PUT", &path).by(user).bytes(MANIFEST, manifest).send().await;
        answer.expect(StatusCode::CREATED).header("docker-content-digest")
    }
}

/// The manifest of an image with one layer.
pub(crate) fn image(config: &str, layer: &str, layer_size: usize) -> Vec<u8> {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }],
    });
    document.to_string().into_bytes()
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // The store's futures need a runtime that is not the one of the test, whose thread this is.
        let left = std::thread::scope(|scope| {
            let ask = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(self.runner.left_over()).expect("the jobs")
            });
            ask.join().expect("the jobs")
        });
        assert!(left.is_empty(), "work is left over, end with `idle`: {}", left.join(", "));
    }
}

/// A request being built.
pub(crate) struct Ask<'a> {
    app: &'a TestApp,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    /// By a user, with its password.
    pub(crate) fn by(self, user: &str) -> Self {
        let credentials = data_encoding::BASE64.encode(format!("{user}:{PASSWORD}").as_bytes());
        self.header(AUTHORIZATION, &format!("Basic {credentials}"))
    }

    /// With an access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// To another host than the one that requests name.
    pub(crate) fn host(mut self, host: &'static str) -> Self {
        if let Some(headers) = self.request.headers_mut() {
            headers.insert(HOST, http::HeaderValue::from_static(host));
        }
        self
    }

    /// With a body.
    pub(crate) fn bytes(self, content_type: &str, bytes: Vec<u8>) -> Self {
        let length = bytes.len().to_string();
        let mut ask = self.header(CONTENT_TYPE, content_type).header(http::header::CONTENT_LENGTH, &length);
        ask.body = Body::from(bytes);
        ask
    }

    /// With a body whose length is not said, in pieces.
    pub(crate) fn streamed(mut self, pieces: Vec<Vec<u8>>) -> Self {
        let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
        self.body = Body::from_stream(futures_util::stream::iter(pieces));
        self.header(CONTENT_TYPE, "application/octet-stream")
    }

    /// With a JSON body.
    pub(crate) fn json(self, document: &Value) -> Self {
        self.bytes("application/json", document.to_string().into_bytes())
    }

    /// Sends it, from 192.0.2.1.
    pub(crate) async fn send(self) -> Answer {
        self.send_from(Ipv4Addr::new(192, 0, 2, 1).into()).await
    }

    /// Sends it from an address.
    pub(crate) async fn send_from(self, client: IpAddr) -> Answer {
        let mut request = self.request.body(self.body).expect("a request");
        let connection = ConnectionInfo {
            peer: SocketAddr::new(client, 50_000),
            local: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5000),
            tls: None,
        };
        let id = self.app.ids.of(request.headers());
        request.extensions_mut().insert(RequestContext {
            id,
            connection: Arc::new(connection),
            client,
            files: None,
        });
        let response = self.app.router.clone().call(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header; empty without it.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// Where it is now.
    pub(crate) fn location(&self) -> String {
        self.header(LOCATION.as_str())
    }
}
