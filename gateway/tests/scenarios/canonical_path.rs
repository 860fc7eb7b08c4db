//! Routing reads the canonical path; endpoints get the target as it was sent.
use crate::support::{Client, Rig, Scripted, Site, Spec};

#[tokio::test]
async fn the_target_arrives_byte_for_byte() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for target in [
        "/a%20b//c?x=%2F",
        "/",
        "/?",
        "//",
        "/a/./b/../c",
        "/%7Euser/%e4%bd%a0",
        "/a;b=c,d:e@f!$&'()*+=",
        "/x?a=b&&c=%zz%00?/../",
    ] {
        wire.get(target).await;
        assert_eq!(wire.response().await.0.status(), 200, "{target}");
        assert_eq!(backend.last().target(), target);
    }
}

#[tokio::test]
async fn http2_targets_arrive_byte_for_byte() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut client = Client::h2c(rig.http).await;
    for target in ["/a%20b//c?x=%2F", "/a/./b", "/?x"] {
        assert_eq!(client.get("a.test", target).await.status, 200, "{target}");
        assert_eq!(backend.last().target(), target);
    }
}

async fn two_rules() -> (Scripted, Scripted, Rig) {
    let (admin, public) = (Scripted::recording().await, Scripted::recording().await);
    let site = Site::default()
        .rule(Spec::to("admin").prefix("/admin"))
        .rule(Spec::to("public").prefix("/"))
        .endpoints("admin", [admin.address])
        .endpoints("public", [public.address]);
    let rig = Rig::start(site).await;
    (admin, public, rig)
}

#[tokio::test]
async fn every_spelling_of_a_path_finds_its_rule() {
    let (admin, public, rig) = two_rules().await;
    let mut wire = rig.wire().await;
    for target in ["/admin", "/%61dmin", "//admin", "/admin//x", "/admin/./x", "/admin%2Fx", "/admin/a/../x"] {
        wire.get(target).await;
        assert_eq!(wire.response().await.0.status(), 200, "{target}");
        assert_eq!(admin.last().target(), target);
    }
    assert!(public.heads().is_empty());
}

#[tokio::test]
async fn a_path_that_reads_two_ways_is_refused() {
    let (admin, public, rig) = two_rules().await;
    for target in ["/admin/../public", "/public/../admin", "/x/%2e%2e/admin", "/x/..%2fadmin"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        rig.wire().await.refused_with(request, &[400]).await;
    }
    assert!(admin.heads().is_empty() && public.heads().is_empty());
}

#[tokio::test]
async fn malformed_paths_are_refused() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    for target in ["/%zz", "/%", "/%00", "/..", "/a/../../b", "/%2e%2e/x", "/a/..;x/b"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        rig.wire().await.refused_with(request, &[400]).await;
    }
    assert!(backend.heads().is_empty());
}

#[tokio::test]
async fn an_absolute_target_is_routed_by_its_host() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    wire.send("GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(wire.response().await.0.status(), 200);
    let target = backend.last().target().to_owned();
    assert!(matches!(target.as_str(), "/x?y" | "http://a.test/x?y"), "{target}");
}
