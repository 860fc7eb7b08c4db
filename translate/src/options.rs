//! What the operator decided for the whole controller.

/// Options of translation, named after ingress-nginx's flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--controller-class`: IngressClasses with this `spec.controller` are ours.
    pub controller_class: String,
    /// `--ingress-class`: value of the old `kubernetes.io/ingress.class` annotation that is ours.
    pub ingress_class: String,
    /// `--ingress-class-by-name`: the IngressClass of that name is ours, whatever its `spec.controller`.
    pub ingress_class_by_name: bool,
    /// `--watch-ingress-without-class`: Ingresses that name no class are ours.
    pub watch_ingress_without_class: bool,
    /// With no IngressClass at all, Ingresses that name no class are ours: for a folder of manifests.
    pub classless_without_classes: bool,
    /// `--default-backend-service`: serves what no rule matches; its first port is used. Namespace and name.
    pub default_backend_service: Option<(String, String)>,
    /// `--default-ssl-certificate`: namespace and name of a Secret.
    pub default_ssl_certificate: Option<(String, String)>,
    /// `--configmap`: namespace and name of the controller's ConfigMap.
    pub configmap: Option<(String, String)>,
    /// `--enable-ssl-passthrough`: the annotation ssl-passthrough has an effect.
    pub enable_ssl_passthrough: bool,
    /// `--disable-catch-all`: Ingresses with a default backend and no rules are not ours.
    pub disable_catch_all: bool,
    /// `--disable-svc-external-name`: Services of type ExternalName answer 503.
    pub disable_svc_external_name: bool,
    /// `--tcp-services-configmap`: ports of TCP services. Namespace and name.
    pub tcp_services_configmap: Option<(String, String)>,
    /// `--udp-services-configmap`: ports of UDP services. Namespace and name.
    pub udp_services_configmap: Option<(String, String)>,
    /// TCP ports that the gateway itself listens on.
    pub reserved_ports: Vec<u16>,
    /// `--translate-snippets`: snippets are translated instead of refused.
    pub translate_snippets: bool,
    /// Pods are read one by one, when [`Output::pods`](crate::Output::pods) asks for them; whoever can do so says it.
    pub asks_for_pods: bool,
    /// `--annotations-prefix`, without the slash.
    pub annotations_prefix: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controller_class: "ingora.io/ingress-controller".to_owned(),
            ingress_class: "ingora".to_owned(),
            ingress_class_by_name: false,
            watch_ingress_without_class: false,
            classless_without_classes: false,
            default_backend_service: None,
            default_ssl_certificate: None,
            configmap: None,
            enable_ssl_passthrough: false,
            disable_catch_all: false,
            disable_svc_external_name: false,
            tcp_services_configmap: None,
            udp_services_configmap: None,
            reserved_ports: Vec::new(),
            translate_snippets: false,
            asks_for_pods: false,
            annotations_prefix: "nginx.ingress.kubernetes.io".to_owned(),
        }
    }
}
