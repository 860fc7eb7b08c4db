//! The gateway as a process under load, while manifests and endpoints change every 100 ms: no request fails.
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::{Gateway, backends, client};

const BACKENDS: usize = 4;
const CLIENTS: usize = 8;
const CHANGES: u32 = 60;

#[test]
fn no_request_fails_while_everything_changes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let backends = backends::start(BACKENDS).await;
        let folder = support::Folder::new();
        folder.ingress("main", "web.test", 1);
        folder.endpoints(&backends);
        let gateway = Gateway::start(folder.path());
        gateway.ready().await;

        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(load(gateway.http(), stop.clone(), served.clone()))).collect();
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for change in 0..CHANGES {
            tick.tick().await;
            // Endpoints: any three of the four; all of them stay alive, as pods do while they terminate.
            let left_out = change as usize % BACKENDS;
            let subset: Vec<_> =
                backends.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, a)| *a).collect();
            folder.endpoints(&subset);
            // Rules: the one under load is rewritten, others come and go, one file is broken now and then.
            folder.ingress("main", "web.test", 1 + change % 3);
            match change % 4 {
                0 => folder.ingress("other", "other.test", 2),
                1 => folder.broken("broken"),
                2 => folder.remove("other"),
                _ => folder.remove("broken"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in clients {
            failures.extend(client.await.unwrap());
        }
        let generation = gateway.metric("ingora_table_generation").await;
        assert_eq!(failures, Vec::<String>::new());
        assert!(served.load(Ordering::Relaxed) > 1_000, "{served:?} requests are no load");
        assert!(generation > 20.0, "the table changed only to generation {generation}");
    });
}

async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>, served: Arc<AtomicU64>) -> Vec<String> {
    let mut failures = Vec::new();
    let mut client = client::connect(address).await;
    while !stop.load(Ordering::Relaxed) {
        match client.get("web.test", "/").await {
            Ok((200, body)) if body.starts_with("backend ") => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            other => {
                failures.push(format!("{other:?}"));
                client = client::connect(address).await;
            }
        }
    }
    failures
}
