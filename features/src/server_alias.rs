//! `server-alias`: further names of a host.
use table::{HostPattern, HostRegex};

use crate::Keys;
use crate::annotation::{Key, OnError, Reader, Row, Support};

const ALIAS: Key<Box<[HostPattern]>> = Key {
    row: Row {
        name: "server-alias",
        sentence: "Further names of the hosts of the Ingress, separated by commas: a name, `*.name` for all names below it, or a \
                   regular expression after `~`. The oldest Ingress of a host that has some decides; a name that is a host of \
                   its own is left out. The certificate of the host is used where it covers the name.",
        default: "none",
        example: "shop.example.org,*.shop.example.org",
        support: Support::Honoured,
    },
    parse,
    on_error: OnError::Default,
};

/// The keys that [`read`] takes.
pub(crate) const KEYS: Keys = &[&ALIAS];

/// The aliases, in the order of the annotation.
pub(crate) fn read(reader: &mut Reader<'_>) -> Box<[HostPattern]> {
    reader.take(&ALIAS).unwrap_or_default()
}

fn parse(text: &str) -> Result<Box<[HostPattern]>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| one(item).map_err(|wrong| format!("has the item {item:?}, which {wrong}"))).collect()
}

fn one(item: &str) -> Result<HostPattern, String> {
    if let Some(regex) = item.strip_prefix('~') {
        return HostRegex::new(regex).map(HostPattern::Regex);
    }
    // nginx's other wildcard.
    if let Some(name) = item.strip_suffix(".*")
        && matches!(HostPattern::parse(name), Ok(HostPattern::Exact(_)))
    {
        return HostRegex::new(&format!(r"^{}\.[^.]", name.replace('.', r"\."))).map(HostPattern::Regex);
    }
    match HostPattern::parse(item) {
        Ok(HostPattern::Wildcard(name)) => Ok(HostPattern::Below(name)),
        Ok(pattern) => Ok(pattern),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::settings;

    #[test]
    fn names_wildcards_and_expressions_are_read() {
        let read = settings(&[("server-alias", "a.com, *.B.com,~^c\\d+\\.com$,d.*")]);
        let texts: Vec<String> = read.aliases.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a.com", "*.b.com", "~^c\\d+\\.com$", "~^d\\.[^.]"]);
        for (alias, host, matches) in
            [(1, "x.y.b.com", true), (1, "b.com", false), (2, "c12.com", true), (2, "c.com", false), (3, "d.org", true)]
        {
            assert_eq!(read.aliases[alias].matches(host), matches, "{host}");
        }
    }

    #[test]
    fn a_bad_item_is_told_and_nothing_is_an_alias() {
        for value in ["a.com,b c", "~(?=a)", "~(a{1000}){1000}", "*.*.com", "10.0.0.1", "a.com;}"] {
            let read = settings(&[("server-alias", value)]);
            assert_eq!((read.aliases.len(), read.problems.len()), (0, 1), "{value}");
        }
    }
}
