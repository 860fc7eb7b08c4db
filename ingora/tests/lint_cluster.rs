//! `ingora lint` on a live cluster, played by a small API server: it lists once and says what it would of a folder. The commands
//! of the migration guide are tried on it, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../../controller/tests/common/api.rs"]
mod api;

/// What the API server shares with other tests.
mod common {
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
}

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use api::Api;
use serde_json::Value;

const FOLDER: &str = "tests/manifests/migration";
const SELECTION: [&str; 4] = ["--controller-class", "k8s.io/ingress-nginx", "--configmap", "ingress/controller"];

/// An API server that holds the objects of the folder.
async fn cluster() -> Api {
    let api = Api::start().await;
    for file in ["controller", "shop", "team"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(format!("{file}.yaml"));
        for document in std::fs::read_to_string(path).unwrap().split("\n---\n") {
            let kind = document.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap();
            let resource = match kind {
                "Ingress" => "ingresses",
                "IngressClass" => "ingressclasses",
                "Service" => "services",
                "EndpointSlice" => "endpointslices",
                "ConfigMap" => "configmaps",
                other => panic!("{other}"),
            };
            api.set(resource, document);
        }
    }
    api
}

/// Standard output and the exit code.
async fn lint(words: Vec<String>) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingora"));
    command.arg("lint").args(words).args(SELECTION).current_dir(env!("CARGO_MANIFEST_DIR"));
    // The API server answers on this runtime meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// The lines, without the places that only a folder has.
fn lines(report: &str) -> BTreeSet<String> {
    let placeless = |line: &str| match line.split_once(": ") {
        Some((place, rest)) if place.starts_with(FOLDER) => rest.to_owned(),
        _ => line.to_owned(),
    };
    report.lines().map(placeless).collect()
}

#[tokio::test]
async fn a_cluster_is_judged_as_the_folder_with_its_objects() {
    let api = cluster().await;
    let kubeconfig = api.kubeconfig();
    let named = vec!["--kubeconfig".to_owned(), kubeconfig.path().display().to_string()];
    let (cluster, code) = lint(named).await;
    let (folder, want) = lint(vec![FOLDER.to_owned()]).await;
    assert_eq!((lines(&cluster), code), (lines(&folder), want));
    assert!(cluster.contains("of 8 Ingresses carry over unchanged"), "{cluster}");
}

#[tokio::test]
async fn everything_is_listed_once_and_nothing_is_watched() {
    let api = cluster().await;
    let kubeconfig = api.kubeconfig();
    lint(vec!["--kubeconfig".to_owned(), kubeconfig.path().display().to_string()]).await;
    let requests = api.requests();
    assert!(requests.iter().all(|target| !target.contains("watch=")), "{requests:?}");
    let paths: BTreeSet<_> = requests.iter().map(|target| target.split('?').next().unwrap()).collect();
    assert_eq!(paths.len(), requests.len(), "{requests:?}");
}

#[tokio::test]
async fn objects_of_a_cluster_are_logical_locations() {
    let api = cluster().await;
    let kubeconfig = api.kubeconfig();
    let named = ["--format", "sarif", "--kubeconfig", &kubeconfig.path().display().to_string()].map(str::to_owned);
    let (text, _) = lint(named.to_vec()).await;
    let log: Value = serde_json::from_str(&text).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for location in results.iter().map(|result| &result["locations"][0]) {
        assert!(location.get("physicalLocation").is_none() && location["logicalLocations"][0]["name"].is_string());
    }
}

#[tokio::test]
async fn missing_rights_are_told_with_the_remedy() {
    let api = cluster().await;
    api.forbid("ingresses");
    let kubeconfig = api.kubeconfig();
    let (text, code) = lint(vec!["--kubeconfig".to_owned(), kubeconfig.path().display().to_string()]).await;
    assert_eq!((text.as_str(), code), ("", 64));
}

/// The commands of the guide that run ingora, lines that end with a backslash joined.
fn commands_of_the_guide() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migration.md");
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let commands = text.lines().filter_map(|line| line.strip_prefix("    ingora "));
    commands.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn every_command_of_the_migration_guide_works() {
    let api = cluster().await;
    let kubeconfig = api.kubeconfig();
    let commands = commands_of_the_guide();
    assert!(commands.len() >= 3, "{commands:?}");
    for line in commands {
        let here =
            line.replace("~/.kube/config", &kubeconfig.path().display().to_string()).replace("./manifests", FOLDER);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ingora"));
        command.args(here.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUST_LOG");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.is_empty() && !output.stdout.is_empty(), "ingora {line}: {told}");
    }
}
