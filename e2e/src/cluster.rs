//! Several replicas on one PostgreSQL and one S3 bucket, behind a round-robin proxy.

use anyhow::Context as _;

use crate::bonded::{Options, Server};
use crate::postgres::{Disk, Postgres};
use crate::proxy::Balancer;
use crate::registry::Target;
use crate::s3::{self, S3};

/// The administrator's password.
const PASSWORD: &str = "three-replicas-one-password";
/// The database's name.
pub const DATABASE: &str = "bonded";
/// What the replicas share beside database and bucket: 32 bytes.
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The stores behind the replicas.
#[derive(Debug)]
pub struct Stores {
    /// The database.
    pub postgres: Postgres,
    /// The objects.
    pub s3: S3,
}

impl Stores {
    /// Starts both; `None` (and a line for each) where one cannot be.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let (postgres, s3) = (Postgres::start(Disk::Lazy)?, S3::start()?);
        let Some((postgres, s3)) = postgres.zip(s3) else { return Ok(None) };
        postgres.database(DATABASE)?;
        Ok(Some(Self { postgres, s3 }))
    }
}

/// How a cluster is to be started.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// More settings (`BONDED_SECTION__KEY`).
    pub settings: Vec<(String, String)>,
    /// Where the database is reached instead of directly.
    pub database_port: Option<u16>,
    /// Where the S3 service is reached instead of directly.
    pub s3_port: Option<u16>,
    /// Whether the first start is left to make the administrator's password.
    pub unstated_password: bool,
}

impl Plan {
    /// With one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Running replicas. They end before their stores.
#[derive(Debug)]
pub struct Cluster {
    /// The replicas.
    pub servers: Vec<Server>,
    balancer: Balancer,
    /// What they stand on.
    pub stores: Stores,
}

impl Cluster {
    /// Three replicas; `None` (and a line) where there is no PostgreSQL or no S3 service.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(stores) = Stores::start()? else { return Ok(None) };
        Self::on(stores, 3, &Plan::default()).map(Some)
    }

    /// So many replicas, started at the same time, on these stores.
    pub fn on(stores: Stores, replicas: usize, plan: &Plan) -> anyhow::Result<Self> {
        let servers = std::thread::scope(|scope| {
            let start = || scope.spawn(|| replica(&stores, plan));
            let starting: Vec<_> = (0..replicas).map(|_| start()).collect();
            let joined = starting.into_iter().map(|thread| thread.join().ok().context("a panic"));
            joined.map(|server| server?).collect::<anyhow::Result<Vec<_>>>()
        })?;
        let balancer = Balancer::start(servers.iter().map(|server| server.target().addr).collect())?;
        Ok(Self { servers, balancer, stores })
    }

    /// The proxy, for the administrator.
    pub fn target(&self) -> Target {
        let addr = self.balancer.addr();
        Target { addr, credentials: Some(("admin".to_owned(), PASSWORD.to_owned())) }
    }

    /// One replica, for the administrator.
    pub fn replica(&self, n: usize) -> Target {
        self.servers[n % self.servers.len()].target().clone()
    }
}

/// Starts one replica.
fn replica(stores: &Stores, plan: &Plan) -> anyhow::Result<Server> {
    let mut environment = plan.settings.clone();
    environment.push(("BONDED_MASTER_KEY".to_owned(), MASTER_KEY.to_owned()));
    let password = Some(PASSWORD.to_owned()).filter(|_| !plan.unstated_password);
    let config = Some(configuration(stores, plan));
    Server::start_with(Options { environment, config, password, ..Options::default() })
}

fn configuration(stores: &Stores, plan: &Plan) -> String {
    let database = plan.database_port.unwrap_or_else(|| stores.postgres.addr().port());
    let s3 = plan.s3_port.unwrap_or_else(|| stores.s3.addr().port());
    let (bucket, (access, secret)) = (s3::BUCKET, s3::CREDENTIALS);
    format!(
        "[database]\nurl = \"{}\"\n\n[storage]\nbackend = \"s3\"\n\n[storage.s3]\nbucket = \"{bucket}\"\n\
         endpoint = \"http://127.0.0.1:{s3}\"\naccess_key_id = \"{access}\"\nsecret_access_key = \"{secret}\"\n\
         path_style = true\nallow_http = true\nprefix = \"registry\"\n",
        Postgres::url_at(database, DATABASE)
    )
}
