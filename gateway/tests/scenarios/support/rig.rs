//! A gateway under test: started on free ports, fed by hand, ended on drop.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use features::Route;
use gateway::{Config, Limits, LogFormat, Overload, Running, Timeouts};
use table::{ClusterId, Facts, Update};
use tokio::sync::mpsc;

use super::{Metrics, Offer, Site, Spec, Wire, bounded, eventually};

/// A configuration whose timeouts are long for a working gateway and short for a test.
pub(crate) fn config() -> Config {
    Config {
        http_port: 0,
        https_port: 0,
        healthz_port: 0,
        bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        threads: 2,
        limits: Limits::default(),
        timeouts: Timeouts {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            body: Duration::from_secs(15),
            send: Duration::from_secs(15),
            shutdown_grace: Duration::ZERO,
            drain: Duration::from_secs(1),
        },
        access_log: false,
        log_format: LogFormat::default(),
        zone: None,
        events: None,
        upgrade_socket: None,
        // A machine that runs tests is late for other reasons.
        overload: Overload { lag: Duration::ZERO, memory_percent: 0, memory_limit: None },
        metrics_per_path: true,
        metrics_per_endpoint: 100,
        metrics_compat: None,
    }
}

/// A running gateway and its control plane.
pub(crate) struct Rig {
    /// What the control plane knows; [`Rig::publish`] makes it live.
    pub(crate) site: Site,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) healthz: SocketAddr,
    updates: mpsc::Sender<Update<Route>>,
    generation: u64,
    running: Option<Running>,
}

impl Rig {
    /// A gateway that has heard nothing yet.
    pub(crate) async fn deaf(config: Config) -> Self {
        let (updates, receiver) = mpsc::channel(16);
        let start = tokio::task::spawn_blocking(move || gateway::start(config, receiver));
        let running = bounded("start", start).await.unwrap().unwrap();
        Self {
            site: Site::default(),
            http: running.http,
            https: running.https,
            healthz: running.healthz,
            updates,
            generation: 0,
            running: Some(running),
        }
    }

    pub(crate) async fn with(site: Site, config: Config) -> Self {
        let mut rig = Self::deaf(config).await;
        rig.site = site;
        rig.publish().await;
        eventually("readiness", || async { (rig.admin("/readyz").await.0 == 200).then_some(()) }).await;
        rig
    }

    pub(crate) async fn start(site: Site) -> Self {
        Self::with(site, config()).await
    }

    /// The commonest site: all of `a.test`, with bodies of any size, goes to one endpoint.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let rule = Spec::to("app").annotation("proxy-body-size", "0");
        Self::start(Site::default().rule(rule).endpoints("app", [address])).await
    }

    /// The same with bodies that pass as they come.
    pub(crate) async fn streaming_to(address: SocketAddr) -> Self {
        let rule = Spec::to("app").annotation("proxy-body-size", "0").annotation("proxy-request-buffering", "off");
        Self::start(Site::default().rule(rule).endpoints("app", [address])).await
    }

    /// Sends the whole site as the next generation; returns when it is live.
    pub(crate) async fn publish(&mut self) {
        let generation = self.send_table().await;
        self.await_live(generation).await;
    }

    /// Sends the whole site as the next generation; returns at once.
    pub(crate) async fn send_table(&mut self) -> u64 {
        self.send_next_table(true).await
    }

    /// Sends a table of a control plane that has not read everything yet.
    pub(crate) async fn send_unsynced_table(&mut self) -> u64 {
        self.send_next_table(false).await
    }

    async fn send_next_table(&mut self, synced: bool) -> u64 {
        self.generation += 1;
        let table = Some(Arc::new(self.site.table(self.generation)));
        let (policies, endpoints) = (self.site.all_policies(), self.site.all_endpoints());
        self.send(Update { policies, endpoints, table, synced, ..update() }).await;
        self.generation
    }

    /// Sends the endpoints of one cluster, and no table.
    pub(crate) async fn send_endpoints(&self, name: &str) {
        self.send(Update { endpoints: vec![self.site.endpoints_of(name)], ..update() }).await;
    }

    /// Retires a cluster.
    pub(crate) async fn send_retired(&self, id: ClusterId) {
        self.send(Update { retired: vec![id], ..update() }).await;
    }

    async fn send(&self, update: Update<Route>) {
        bounded("room in the channel", self.updates.send(update)).await.unwrap();
    }

    /// Waits until a generation serves.
    pub(crate) async fn await_live(&self, generation: u64) {
        eventually("the generation", || async {
            let live = self.metrics().await.sum("ingora_table_generation", &[])?;
            (live >= f64::from(u32::try_from(generation).unwrap())).then_some(())
        })
        .await;
    }

    /// Everything at `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin("/metrics").await.1)
    }

    /// Status and body of a page of the administration port.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let mut wire = Wire::connect(self.healthz).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await;
        let (head, body) = wire.response().await;
        (head.status(), String::from_utf8(body).unwrap())
    }

    /// What SIGUSR1 does.
    pub(crate) fn reopen_access_log(&self) {
        self.running.as_ref().unwrap().reopen_access_log();
    }

    /// Begins the graceful end.
    pub(crate) fn terminate(&self) {
        self.running.as_ref().unwrap().terminate();
    }

    /// Waits until the gateway has ended.
    pub(crate) async fn ended(mut self) {
        let running = self.running.take().unwrap();
        bounded("the end", tokio::task::spawn_blocking(|| running.wait())).await.unwrap();
    }

    /// A plain connection to the HTTP port.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::connect(self.http).await
    }

    /// A TLS connection to the HTTPS port.
    pub(crate) async fn tls_wire(
        &self,
        offer: Offer<'_>,
    ) -> Wire<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        Wire::new(offer.connect(self.https).await.unwrap())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.terminate();
            // Waiting blocks, and the scenario is over.
            std::thread::spawn(|| running.wait());
        }
    }
}

fn update() -> Update<Route> {
    Update {
        policies: Vec::new(),
        endpoints: Vec::new(),
        table: None,
        retired: Vec::new(),
        arrived: Instant::now(),
        synced: true,
        facts: Facts::default(),
    }
}
