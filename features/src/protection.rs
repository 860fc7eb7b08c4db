//! Annotations that protect something and that this version does not honour: their rules must not serve.
use crate::annotation::Reader;

/// ingress-nginx's annotations for authentication, access and limits.
pub(crate) const NAMES: &[&str] = &["enable-modsecurity"];

/// Closes the rules for each such annotation.
pub(crate) fn read(reader: &mut Reader<'_>) {
    for name in NAMES {
        if reader.has(name) {
            reader.close(name, "protects this Ingress and is not supported by this version, so its paths answer 503; remove the annotation to serve them without that protection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoObjects;
    use crate::annotation::{Config, OnError};

    #[test]
    fn a_protective_annotation_closes() {
        let config = Config::default();
        let mut reader = Reader::new([("enable-modsecurity", "true")], &config, &NoObjects);
        read(&mut reader);
        assert!(reader.finish().iter().any(|problem| problem.effect == OnError::Close));
    }
}
