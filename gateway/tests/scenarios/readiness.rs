//! Ready means serving: not before the first full table, not after the end was announced.
use crate::support::{Backend, Client, Rig, Spec, config, eventually};

async fn becomes(rig: &Rig, status: u16) {
    eventually("the readiness", || async { (rig.admin("/readyz").await.0 == status).then_some(()) }).await;
}

#[tokio::test]
async fn the_gateway_lives_before_it_is_ready() {
    let rig = Rig::deaf(config()).await;
    assert_eq!(rig.admin("/healthz").await.0, 200);
    assert_eq!(rig.admin("/readyz").await.0, 503);
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.status, 503);
}

#[tokio::test]
async fn a_table_before_the_first_full_sync_serves_but_is_not_ready() {
    let backend = Backend::echo("one").await;
    let mut rig = Rig::deaf(config()).await;
    rig.site.add(Spec::to("app"));
    rig.site.set_endpoints("app", [backend.address]);
    let generation = rig.send_unsynced_table().await;
    rig.await_live(generation).await;
    assert_eq!(Client::h1(rig.http).await.get("a.test", "/").await.text(), "one");
    assert_eq!(rig.admin("/readyz").await.0, 503);
    rig.publish().await;
    becomes(&rig, 200).await;
}

#[tokio::test]
async fn termination_ends_readiness_and_not_life() {
    let mut config = config();
    config.timeouts.shutdown_grace = std::time::Duration::from_secs(5);
    let rig = Rig::with(crate::support::Site::default(), config).await;
    assert_eq!(rig.admin("/readyz").await.0, 200);
    rig.terminate();
    becomes(&rig, 503).await;
    assert_eq!(rig.admin("/healthz").await.0, 200);
}

#[tokio::test]
async fn the_administration_port_has_nothing_else() {
    let rig = Rig::start(crate::support::Site::default()).await;
    for path in ["/x", "/metrics/x", "/readyz/", "/debug/pprof"] {
        assert_eq!(rig.admin(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn administration_is_not_on_the_public_ports() {
    let rig = Rig::start(crate::support::Site::default()).await;
    let mut client = Client::h1(rig.http).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(client.get("a.test", path).await.status, 404, "{path}");
    }
}
