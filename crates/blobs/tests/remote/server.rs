//! Real servers for tests: versitygw and moto (S3), azurite (Azure), started on a free port and ended with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blobs::{AzureConfig, S3Config, S3Credentials};
use hmac::{Hmac, KeyInit as _, Mac as _};

/// A running server with a bucket.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("TOOLS_DIR")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/bonded-tools")));
    let mut places: Vec<PathBuf> = cache.map(|cache| cache.join("bin")).into_iter().collect();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file())
}

impl Server {
    async fn start(make: impl FnOnce(u16, &tempfile::TempDir) -> Option<Command>) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = make(port, &directory)?;
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, port, _directory: directory };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not start");
    }

    /// versitygw over a directory; `None` (and a line) when it is not installed.
    pub(crate) async fn versitygw() -> Option<Self> {
        let Some(program) = tool("versitygw") else {
            println!("skipped: versitygw is not installed");
            return None;
        };
        Self::start(|port, directory| {
            std::fs::create_dir(directory.path().join("bucket")).unwrap();
            let mut command = Command::new(program);
            command.args([
                "--access",
                "ak",
                "--secret",
                "sk",
                "--quiet",
                "--port",
                &format!("127.0.0.1:{port}"),
            ]);
            command.arg("posix").arg(directory.path());
            Some(command)
        })
        .await
    }

    /// moto's S3; `None` (and a line) when it is not installed.
    pub(crate) async fn moto() -> Option<Self> {
        let Some(program) = tool("moto_server") else {
            println!("skipped: moto_server is not installed");
            return None;
        };
        let server = Self::start(|port, _| {
            let mut command = Command::new(program);
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            Some(command)
        })
        .await?;
        let made =
            reqwest::Client::new().put(format!("http://127.0.0.1:{}/bucket", server.port)).send().await;
        assert!(made.unwrap().status().is_success());
        Some(server)
    }

    /// Microsoft's emulator of Azure Blob Storage; `None` (and a line) when it is not installed.
    pub(crate) async fn azurite() -> Option<Self> {
        let Some(program) = tool("azurite-blob") else {
            println!("skipped: azurite-blob is not installed");
            return None;
        };
        let server = Self::start(|port, directory| {
            let mut command = Command::new(program);
            command.args([
                "--blobHost",
                "127.0.0.1",
                "--skipApiVersionCheck",
                "--silent",
                "--disableTelemetry",
            ]);
            command.args(["--blobPort", &port.to_string(), "--location"]).arg(directory.path());
            Some(command)
        })
        .await?;
        let made = azure_put_container(server.port).await;
        assert!(made.is_success(), "{made}");
        Some(server)
    }

    pub(crate) fn azure_config(&self) -> AzureConfig {
        AzureConfig {
            account: AZURE_ACCOUNT.to_owned(),
            container: "bucket".to_owned(),
            prefix: "some/prefix".to_owned(),
            access_key: Some(AZURE_KEY.to_owned().into()),
            endpoint: Some(format!("http://127.0.0.1:{}/{AZURE_ACCOUNT}", self.port)),
            allow_http: true,
            ca_pem: None,
            stall: Duration::from_mins(1),
        }
    }

    pub(crate) fn config(&self) -> S3Config {
        config(self.port)
    }
}

/// The emulator's published account and key.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Creates the container, which the adapter does not do ("Authorize with Shared Key").
async fn azure_put_container(port: u16) -> reqwest::StatusCode {
    let url = format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}/bucket?restype=container");
    let http = reqwest::Client::new();
    // The server's own time.
    let date = http.get(&url).send().await.unwrap().headers()["date"].to_str().unwrap().to_owned();
    let blanks = "\n".repeat(12);
    let text = format!(
        "PUT{blanks}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/bucket\nrestype:container"
    );
    let key = data_encoding::BASE64.decode(AZURE_KEY.as_bytes()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(text.as_bytes());
    let signature = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    let put = http.put(&url).header("x-ms-date", &date).header("x-ms-version", "2021-08-06");
    let put = put
        .header("Content-Length", "0")
        .header("Authorization", format!("SharedKey {AZURE_ACCOUNT}:{signature}"));
    put.send().await.unwrap().status()
}

/// A configuration for a server on a local port.
pub(crate) fn config(port: u16) -> S3Config {
    S3Config {
        bucket: "bucket".to_owned(),
        prefix: "some/prefix".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        virtual_hosted: false,
        credentials: Some(credentials("sk")),
        allow_http: true,
        ca_pem: None,
        stall: Duration::from_secs(30),
    }
}

/// The server's access key, with this secret.
pub(crate) fn credentials(secret: &str) -> S3Credentials {
    S3Credentials { key_id: "ak".to_owned(), secret: secret.to_owned().into(), session_token: None }
}
