//! Flags that several commands share: where objects come from, and which of them are ours.
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use controller::{Cluster, Namespaces, Source};
use translate::Options;

use crate::value::{NamespacedName, selector};

/// Where objects come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// Read Ingresses, Services, EndpointSlices and Secrets from the YAML files of a folder, not from a cluster
    #[arg(long, env = "INGORA_MANIFESTS", value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,

    /// Reach the cluster with this kubeconfig, not with the pod's service account or ~/.kube/config
    #[arg(long, env = "INGORA_KUBECONFIG", value_name = "FILE", conflicts_with = "manifests")]
    kubeconfig: Option<PathBuf>,

    /// Watch only this namespace of the cluster
    #[arg(long, env = "INGORA_WATCH_NAMESPACE", value_name = "NAMESPACE", conflicts_with = "manifests")]
    watch_namespace: Option<String>,

    /// Watch only namespaces whose labels match this selector, such as team=web,stage!=test
    #[arg(long, env = "INGORA_WATCH_NAMESPACE_SELECTOR", value_name = "SELECTOR", value_parser = selector,
          conflicts_with_all = ["manifests", "watch_namespace"])]
    watch_namespace_selector: Option<String>,
}

impl SourceArgs {
    fn namespaces(&self) -> Namespaces {
        let one = self.watch_namespace.clone().filter(|name| !name.is_empty()).map(Namespaces::One);
        let labelled = || self.watch_namespace_selector.clone().map(Namespaces::Labelled);
        one.or_else(labelled).unwrap_or_default()
    }

    /// The folder if one is named, else the cluster.
    pub(crate) fn source(&self) -> Source {
        match &self.manifests {
            Some(folder) => Source::Folder(folder.clone()),
            None => Source::Cluster(Cluster {
                kubeconfig: self.kubeconfig.clone(),
                namespaces: self.namespaces(),
                ..Cluster::default()
            }),
        }
    }
}

/// Which objects are ours, and what serves when no rule does.
#[derive(Args, Debug)]
#[command(next_help_heading = "Classes and defaults")]
pub(crate) struct ClassArgs {
    /// IngressClasses whose spec.controller has this value are ours
    #[arg(long, env = "INGORA_CONTROLLER_CLASS", value_name = "CLASS",
          default_value_t = Options::default().controller_class)]
    controller_class: String,

    /// Value of the old kubernetes.io/ingress.class annotation that is ours; without it ingora, or nginx with the
    /// controller class of ingress-nginx
    #[arg(long, env = "INGORA_INGRESS_CLASS", value_name = "CLASS")]
    ingress_class: Option<String>,

    /// The IngressClass named by --ingress-class is ours, whatever its controller
    #[arg(long, env = "INGORA_INGRESS_CLASS_BY_NAME", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    ingress_class_by_name: bool,

    /// Serve Ingresses that name no class, too; a folder without any IngressClass is always read so
    #[arg(long, env = "INGORA_WATCH_INGRESS_WITHOUT_CLASS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    watch_ingress_without_class: bool,

    /// Service that gets what no rule matches (its first port); without it the answer is 404
    #[arg(long, env = "INGORA_DEFAULT_BACKEND_SERVICE", value_name = "NAMESPACE/NAME")]
    default_backend_service: Option<NamespacedName>,

    /// Secret with the certificate for names that no other covers; without it a self-signed one is made at start
    #[arg(long, env = "INGORA_DEFAULT_SSL_CERTIFICATE", value_name = "NAMESPACE/NAME")]
    default_ssl_certificate: Option<NamespacedName>,

    /// ConfigMap with settings for all Ingresses; read whenever it changes
    #[arg(long, env = "INGORA_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    configmap: Option<NamespacedName>,

    /// Let the annotation ssl-passthrough send TLS connections of a host to endpoints that end TLS themselves
    #[arg(long, env = "INGORA_ENABLE_SSL_PASSTHROUGH", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    enable_ssl_passthrough: bool,

    /// Leave out Ingresses that have a default backend and no rules, which take the requests of all hosts
    #[arg(long, env = "INGORA_DISABLE_CATCH_ALL", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    disable_catch_all: bool,

    /// Answer 503 for Services of type ExternalName, which lead out of the cluster
    #[arg(long, env = "INGORA_DISABLE_SVC_EXTERNAL_NAME", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    disable_svc_external_name: bool,

    /// ConfigMap of TCP services: port of the gateway to namespace/service:port, with :PROXY to decode and :PROXY to encode
    #[arg(long, env = "INGORA_TCP_SERVICES_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    tcp_services_configmap: Option<NamespacedName>,

    /// ConfigMap of UDP services: port of the gateway to namespace/service:port
    #[arg(long, env = "INGORA_UDP_SERVICES_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    udp_services_configmap: Option<NamespacedName>,

    /// Translate the directives that people use in snippets, and refuse others; without it snippets are refused
    #[arg(long, env = "INGORA_TRANSLATE_SNIPPETS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    translate_snippets: bool,

    /// Prefix of the annotations that are read
    #[arg(long, env = "INGORA_ANNOTATIONS_PREFIX", value_name = "PREFIX",
          default_value_t = Options::default().annotations_prefix)]
    annotations_prefix: String,
}

impl ClassArgs {
    fn ingress_class(&self) -> String {
        let nginx = self.controller_class == "k8s.io/ingress-nginx";
        let default = || if nginx { "nginx".to_owned() } else { Options::default().ingress_class };
        self.ingress_class.clone().unwrap_or_else(default)
    }

    /// `--controller-class`.
    pub(crate) fn controller_class(&self) -> &str {
        &self.controller_class
    }

    /// The options of translation for a source.
    pub(crate) fn options(&self, source: &Source) -> Options {
        let pair =
            |name: &Option<NamespacedName>| name.clone().map(|NamespacedName(namespace, name)| (namespace, name));
        Options {
            controller_class: self.controller_class.clone(),
            ingress_class: self.ingress_class(),
            ingress_class_by_name: self.ingress_class_by_name,
            watch_ingress_without_class: self.watch_ingress_without_class,
            classless_without_classes: matches!(source, Source::Folder(_)),
            default_backend_service: pair(&self.default_backend_service),
            default_ssl_certificate: pair(&self.default_ssl_certificate),
            configmap: pair(&self.configmap),
            enable_ssl_passthrough: self.enable_ssl_passthrough,
            disable_catch_all: self.disable_catch_all,
            disable_svc_external_name: self.disable_svc_external_name,
            tcp_services_configmap: pair(&self.tcp_services_configmap),
            udp_services_configmap: pair(&self.udp_services_configmap),
            reserved_ports: Vec::new(),
            translate_snippets: self.translate_snippets,
            asks_for_pods: false,
            annotations_prefix: self.annotations_prefix.trim_end_matches('/').to_owned(),
        }
    }
}
