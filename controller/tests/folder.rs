//! A folder of manifests on a real file system, followed by real file events: what changes there arrives as updates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Plane, ingress, service, slice};
use controller::Source;
use tempfile::TempDir;
use tokio::sync::mpsc;
use translate::Options;

/// Starts a control plane on a folder.
fn follow(folder: &Path) -> Plane {
    let (sender, updates) = mpsc::channel(4);
    controller::spawn(Source::Folder(folder.to_owned()), Options::default(), sender).unwrap();
    Plane::new(updates)
}

/// A folder with one application, and the control plane that follows it.
async fn with_app() -> (TempDir, Plane) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ingress.yaml", &ingress("a", "a.test", "app"));
    write(folder.path(), "service.yaml", &(service("app") + &slice("app", "10.0.0.1")));
    let mut plane = follow(folder.path());
    plane.next().await;
    (folder, plane)
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn the_first_update_holds_everything() {
    let (_folder, plane) = with_app().await;
    assert_eq!(plane.service("a.test"), "app");
    assert_eq!(plane.addresses("app"), ["10.0.0.1:8080"]);
}

#[tokio::test]
async fn an_empty_folder_is_synced_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = follow(folder.path());
    let update = plane.next().await;
    assert!(update.synced && update.table.is_some());
}

#[test]
fn a_missing_folder_is_an_error() {
    let (sender, _updates) = mpsc::channel(1);
    let error = controller::spawn(Source::Folder("/no/such".into()), Options::default(), sender).unwrap_err();
    assert_eq!(error.to_string(), "the folder /no/such does not exist; create it or name another one");
}

#[tokio::test]
async fn files_that_are_created_edited_and_deleted_arrive() {
    let (folder, mut plane) = with_app().await;
    write(folder.path(), "b.yaml", &ingress("b", "b.test", "app"));
    plane.until("created", |plane| plane.service("b.test") == "app").await;
    write(folder.path(), "b.yaml", &ingress("b", "c.test", "app"));
    plane.until("edited", |plane| plane.service("b.test").is_empty() && plane.service("c.test") == "app").await;
    fs::remove_file(folder.path().join("b.yaml")).unwrap();
    plane.until("deleted", |plane| plane.service("c.test").is_empty()).await;
    assert_eq!(plane.service("a.test"), "app");
}

#[tokio::test]
async fn an_atomic_save_is_an_edit() {
    let (folder, mut plane) = with_app().await;
    write(folder.path(), ".ingress.yaml.tmp", &ingress("a", "new.test", "app"));
    fs::rename(folder.path().join(".ingress.yaml.tmp"), folder.path().join("ingress.yaml")).unwrap();
    plane.until("saved", |plane| plane.service("new.test") == "app").await;
}

#[tokio::test]
async fn a_new_folder_below_is_followed() {
    let (folder, mut plane) = with_app().await;
    let below = folder.path().join("team/app");
    fs::create_dir_all(&below).unwrap();
    write(&below, "b.yaml", &ingress("b", "b.test", "app"));
    plane.until("created below", |plane| plane.service("b.test") == "app").await;
    write(&below, "b.yaml", &ingress("b", "c.test", "app"));
    plane.until("edited below", |plane| plane.service("c.test") == "app").await;
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (version, host) in [("..v1", "one.test"), ("..v2", "two.test")] {
        fs::create_dir(root.join(version)).unwrap();
        write(&root.join(version), "a.yaml", &ingress("a", host, "app"));
    }
    symlink("..v1", root.join("..data")).unwrap();
    symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    let mut plane = follow(root);
    plane.until("mounted", |plane| !plane.service("one.test").is_empty()).await;
    symlink("..v2", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    let swapped = |plane: &Plane| !plane.service("two.test").is_empty() && plane.service("one.test").is_empty();
    plane.until("swapped", swapped).await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_followed_on() {
    let parent = tempfile::tempdir().unwrap();
    let (one, two, link) = (parent.path().join("one"), parent.path().join("two"), parent.path().join("link"));
    for (folder, host) in [(&one, "one.test"), (&two, "two.test")] {
        fs::create_dir(folder).unwrap();
        write(folder, "a.yaml", &ingress("a", host, "app"));
    }
    symlink(&one, &link).unwrap();
    let mut plane = follow(&link);
    plane.until("followed", |plane| !plane.service("one.test").is_empty()).await;
    symlink(&two, parent.path().join("new")).unwrap();
    fs::rename(parent.path().join("new"), &link).unwrap();
    plane.until("replaced", |plane| !plane.service("two.test").is_empty()).await;
    write(&two, "a.yaml", &ingress("a", "three.test", "app"));
    plane.until("edited in the new one", |plane| !plane.service("three.test").is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_disappears_changes_nothing_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, aside) = (parent.path().join("folder"), parent.path().join("aside"));
    fs::create_dir(&folder).unwrap();
    write(&folder, "a.yaml", &ingress("a", "a.test", "app"));
    write(&folder, "b.yaml", &ingress("b", "b.test", "app"));
    let mut plane = follow(&folder);
    plane.until("followed", |plane| !plane.service("a.test").is_empty()).await;
    fs::rename(&folder, &aside).unwrap();
    write(&aside, "b.yaml", &ingress("b", "c.test", "app"));
    fs::rename(&aside, &folder).unwrap();
    plane.until("back", |plane| !plane.service("c.test").is_empty() && !plane.service("a.test").is_empty()).await;
    assert_eq!(plane.tables, 2, "no table without the folder's objects");
}

#[tokio::test]
async fn a_broken_edit_keeps_the_last_good_and_a_fix_applies() {
    let (folder, mut plane) = with_app().await;
    write(folder.path(), "ingress.yaml", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a\n");
    // A later change proves that the broken file has been read before.
    write(folder.path(), "b.yaml", &ingress("b", "b.test", "app"));
    plane.until("the neighbour", |plane| plane.service("b.test") == "app").await;
    assert_eq!(plane.service("a.test"), "app");
    write(folder.path(), "ingress.yaml", &ingress("a", "fixed.test", "app"));
    let fixed = |plane: &Plane| plane.service("fixed.test") == "app" && plane.service("a.test").is_empty();
    plane.until("fixed", fixed).await;
}

#[tokio::test]
async fn endpoints_arrive_without_a_table() {
    let (folder, mut plane) = with_app().await;
    write(folder.path(), "service.yaml", &(service("app") + &slice("app", "10.0.0.2")));
    let update = plane.until("new address", |plane| plane.addresses("app") == ["10.0.0.2:8080"]).await;
    assert!(update.table.is_none());
    assert_eq!(plane.tables, 1);
}

#[tokio::test]
async fn a_burst_of_writes_makes_few_tables() {
    let (folder, mut plane) = with_app().await;
    for number in 0..200 {
        write(
            folder.path(),
            &format!("{number}.yaml"),
            &ingress(&format!("i{number}"), &format!("{number}.test"), "app"),
        );
    }
    plane
        .until("the whole burst", |plane| (0..200).all(|number| plane.service(&format!("{number}.test")) == "app"))
        .await;
    assert!(plane.tables <= 20, "{} tables", plane.tables);
}

#[tokio::test]
async fn facts_count_the_notes() {
    let (folder, mut plane) = with_app().await;
    write(folder.path(), "b.yaml", &ingress("b", "b.test", "missing"));
    let update = plane.until("the note", |plane| plane.tables > 1).await;
    assert_eq!(update.facts.errors + update.facts.warnings, 1);
    assert!(update.facts.build > Duration::ZERO);
}

#[tokio::test]
async fn a_write_arrives_soon() {
    let (folder, mut plane) = with_app().await;
    let mut times = Vec::new();
    for round in 0..30 {
        let host = format!("r{round}.test");
        let start = Instant::now();
        write(folder.path(), "b.yaml", &ingress("b", &host, "app"));
        plane.until("the write", |plane| plane.service(&host) == "app").await;
        times.push(start.elapsed());
    }
    times.sort();
    println!("file write to update: median {:?}, longest {:?}", times[15], times[29]);
    assert!(times[15] < Duration::from_millis(200), "{times:?}");
}

#[test]
fn loading_tells_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", &(service("app") + &slice("app", "10.0.0.1") + &ingress("a", "a.test", "app")));
    write(folder.path(), "b.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: app}\n---\nkind: [\n");
    write(
        folder.path(),
        "c.yaml",
        &(ingress("c", "c.test", "missing") + "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspecs: {}\n"),
    );
    let loaded = controller::load(&Source::Folder(folder.path().to_owned()), Options::default()).unwrap();
    assert!(loaded.table.find("a.test", "/").rule().is_some());
    assert_eq!(loaded.endpoints.values().map(|endpoints| endpoints.list.len()).sum::<usize>(), 1);
    assert_eq!(loaded.broken.len(), 2, "{:?}", loaded.broken);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.notes.iter().any(|note| &*note.object.name == "c"), "{:?}", loaded.notes);
    let origin = |name: &str| loaded.origins.iter().find(|(object, _)| &*object.name == name).unwrap().1.to_string();
    assert_eq!(origin("a"), format!("{}:16", folder.path().join("a.yaml").display()));
}
