//! The demo's folder: the example manifests, and what only a running machine knows.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::echo::Pod;
use crate::failure::Failure;

/// Every Service of the examples and how many pods it gets.
pub(super) const SERVICES: &[(&str, usize)] =
    &[("service1", 2), ("service2", 3), ("app-test", 1), ("app-prod", 2), ("secure", 1)];

/// The host of the example that has a certificate.
pub(super) const TLS_HOST: &str = "secure.foo.com";

/// Files that are the same everywhere; the binary alone is enough.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("ingress-class.yaml", &[include_str!("../../../examples/wildcard-host/ingress-class.yaml")]),
    (
        "wildcard-host.yaml",
        &[
            include_str!("../../../examples/wildcard-host/ingress.yaml"),
            include_str!("../../../examples/wildcard-host/services.yaml"),
        ],
    ),
    (
        "two-hosts.yaml",
        &[
            include_str!("../../../examples/two-hosts/ingress.yaml"),
            include_str!("../../../examples/two-hosts/services.yaml"),
        ],
    ),
    (
        "https.yaml",
        &[include_str!("../../../examples/https/ingress.yaml"), include_str!("../../../examples/https/services.yaml")],
    ),
];

/// A folder; a temporary one is removed in the end.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Creates the given folder, or a temporary one.
    pub(super) fn create(path: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = path.is_none();
        let path = path.unwrap_or_else(|| std::env::temp_dir().join(format!("ingora-demo-{}", std::process::id())));
        std::fs::create_dir_all(&path).map_err(|error| {
            Failure::runtime(format!("the folder {} cannot be created ({error}); name another one", path.display()))
        })?;
        Ok(Self { path, temporary })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the manifests. Examples that stand there already are the user's and stay; endpoints and certificate are
    /// new with each start.
    pub(super) fn write(&self, pods: &[Pod]) -> Result<(), Failure> {
        for (name, documents) in EXAMPLES {
            if !self.path.join(name).exists() {
                self.write_file(name, &documents.join("---\n"))?;
            }
        }
        let slices: Vec<String> = pods.iter().map(endpoint_slice).collect();
        let text =
            format!("# The pods of this demo, one EndpointSlice each: try `ready: false`.\n{}", slices.join("---\n"));
        self.write_file("endpoints.yaml", &text)?;
        self.write_file("secret.yaml", &secret()?)
    }

    fn write_file(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        std::fs::write(&path, text)
            .map_err(|error| Failure::runtime(format!("the file {} cannot be written: {error}", path.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed stays in the temporary folder; there is nobody to tell.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// A slice of its own for each pod, because each has its own port.
fn endpoint_slice(pod: &Pod) -> String {
    let Pod { service, name, address } = pod;
    let (ip, port) = (address.ip(), SocketAddr::port(address));
    format!(
        "apiVersion: discovery.k8s.io/v1\n\
         kind: EndpointSlice\n\
         metadata:\n\
         \x20 name: {name}\n\
         \x20 namespace: default\n\
         \x20 labels:\n\
         \x20   kubernetes.io/service-name: {service}\n\
         addressType: IPv4\n\
         ports:\n\
         - name: http\n\
         \x20 port: {port}\n\
         endpoints:\n\
         - addresses: [{ip}]\n\
         \x20 conditions:\n\
         \x20   ready: true\n\
         \x20 targetRef:\n\
         \x20   kind: Pod\n\
         \x20   namespace: default\n\
         \x20   name: {name}\n"
    )
}

/// A Secret with a self-signed certificate for [`TLS_HOST`].
fn secret() -> Result<String, Failure> {
    let made = rcgen::generate_simple_self_signed([TLS_HOST.to_owned()])
        .map_err(|error| Failure::runtime(format!("the demo's certificate cannot be made: {error}")))?;
    Ok(format!(
        "# Self-signed, made at start.\n\
         apiVersion: v1\n\
         kind: Secret\n\
         metadata:\n\
         \x20 name: secure-tls\n\
         \x20 namespace: default\n\
         type: kubernetes.io/tls\n\
         data:\n\
         \x20 tls.crt: {}\n\
         \x20 tls.key: {}\n",
        STANDARD.encode(made.cert.pem()),
        STANDARD.encode(made.signing_key.serialize_pem())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_and_a_given_one_stays() {
        let kept = tempfile::tempdir().unwrap();
        drop(Folder::create(Some(kept.path().to_owned())).unwrap());
        assert!(kept.path().exists());
        let folder = Folder::create(None).unwrap();
        let path = folder.path().to_owned();
        folder.write(&[]).unwrap();
        assert!(path.join("wildcard-host.yaml").exists());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn examples_that_were_edited_stay() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("two-hosts.yaml"), "# mine\n").unwrap();
        Folder::create(Some(dir.path().to_owned())).unwrap().write(&[]).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("two-hosts.yaml")).unwrap(), "# mine\n");
    }
}
