//! Requests that two servers could read in two ways reach no endpoint: 400, and the connection ends.
use crate::support::{Rig, Scripted};

/// Every request gets one of the statuses, the end of its connection, and no endpoint sees anything.
async fn refused(requests: &[&str], statuses: &[u16]) {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    for request in requests {
        rig.wire().await.refused_with(request, statuses).await;
    }
    assert!(backend.heads().is_empty(), "{:?}", backend.heads());
}

#[tokio::test]
async fn two_lengths_in_one_request() {
    refused(
        &[
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4, 5\r\n\r\nbody",
        ],
        &[400],
    )
    .await;
}

#[tokio::test]
async fn lengths_that_are_no_number() {
    refused(
        &[
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999999999999999999\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: \r\n\r\nbody",
        ],
        &[400],
    )
    .await;
}

#[tokio::test]
async fn transfer_codings_that_hide_the_length() {
    refused(
        &[
            "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
        &[400, 501],
    )
    .await;
}

#[tokio::test]
async fn no_host_or_several() {
    refused(
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test:port\r\n\r\n",
            "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ],
        &[400],
    )
    .await;
}

#[tokio::test]
async fn heads_that_are_no_heads() {
    refused(
        &[
            "hello\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9.9\r\nHost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX : space before the colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX: nul\0\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
            "G\0T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "\x01\x02\x03\x04\r\n\r\n",
        ],
        &[400, 505],
    )
    .await;
}

/// The endpoint may have seen the head by then, but never a request made of the rest.
#[tokio::test]
async fn bodies_with_broken_chunks() {
    for body in ["zz\r\nbody\r\n0\r\n\r\n", "4\r\nbodyXX0\r\n\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\nx"] {
        let backend = Scripted::recording().await;
        let rig = Rig::to(backend.address).await;
        let mut wire = rig.wire().await;
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
        wire.send(format!("{head}{body}{smuggled}")).await;
        let answer = String::from_utf8(wire.rest().await).unwrap();
        assert!(!answer.contains(" 200 "), "{body:?} became {answer:?}");
        assert!(backend.heads().is_empty(), "{:?}", backend.heads());
    }
}

#[tokio::test]
async fn connect_is_not_for_strangers() {
    refused(&["CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n"], &[400, 405, 501]).await;
}

#[tokio::test]
async fn others_are_served_meanwhile() {
    let backend = Scripted::recording().await;
    let rig = Rig::to(backend.address).await;
    let mut wire = rig.wire().await;
    for _ in 0..3 {
        rig.wire().await.refused_with("hello\r\n\r\n", &[400]).await;
        wire.get("/").await;
        assert_eq!(wire.response().await.0.status(), 200);
    }
}

#[tokio::test]
async fn refusals_are_counted() {
    let rig = Rig::start(crate::support::Site::default()).await;
    let refusals = async || rig.metrics().await.sum("ingora_bad_requests_total", &[]).unwrap();
    let before = refusals().await;
    rig.wire().await.refused_with("GET / HTTP/1.1\r\n\r\n", &[400]).await;
    rig.wire().await.refused_with("GET /%zz HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", &[400]).await;
    assert_eq!(refusals().await - before, 2.0);
}
