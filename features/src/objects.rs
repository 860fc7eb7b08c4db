//! Objects that annotations refer to: Secrets, ConfigMaps and Services.
use std::collections::BTreeMap;

use table::ClusterId;

use crate::Keys;
use crate::annotation::{Key, OnError, Row, Support, boolean};

/// ConfigMap: whether annotations may refer to objects of other namespaces.
pub const CROSS_NAMESPACE: Key<bool> = Key {
    row: Row {
        name: "allow-cross-namespace-resources",
        sentence: "Lets annotations refer to Secrets and ConfigMaps of other namespaces.",
        default: "false",
        example: "true",
        support: Support::Honoured,
    },
    parse: boolean,
    on_error: OnError::Default,
};

/// Annotations whose value names a Secret: no others may make a feature ask for one.
pub const SECRET_ANNOTATIONS: &[&str] = &["auth-secret", "auth-tls-secret", "proxy-ssl-secret"];

/// The keys of the ConfigMap that are about references.
pub(crate) const CONFIG: Keys = &[&CROSS_NAMESPACE];

/// The data of a Secret or ConfigMap.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Looks up what the annotations of one object refer to. Whoever translates remembers what was asked for, so that the object
/// is read anew when the answer changes.
///
/// A reference is `namespace/name` or a name in the namespace of the object. Another namespace is refused unless the
/// operator allows it (ConfigMap `allow-cross-namespace-resources`).
pub trait Objects {
    /// The data of a Secret.
    ///
    /// # Errors
    /// Why there is none, as a clause with the remedy.
    fn secret(&self, reference: &str) -> Result<Data, String>;

    /// The data of a ConfigMap.
    ///
    /// # Errors
    /// Why there is none, as a clause with the remedy.
    fn config_map(&self, reference: &str) -> Result<Data, String>;

    /// The cluster of the first port of a Service in the namespace of the object.
    ///
    /// # Errors
    /// Why there is none, as a clause with the remedy.
    fn service(&self, name: &str) -> Result<ClusterId, String>;
}

/// There are no objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObjects;

impl Objects for NoObjects {
    fn secret(&self, reference: &str) -> Result<Data, String> {
        Err(format!("Secret {reference} does not exist; create it"))
    }

    fn config_map(&self, reference: &str) -> Result<Data, String> {
        Err(format!("ConfigMap {reference} does not exist; create it"))
    }

    fn service(&self, name: &str) -> Result<ClusterId, String> {
        Err(format!("Service {name} does not exist; create it"))
    }
}
