package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// warnings are the warnings that the API server hands on.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "; ")
}

func TestTheWebhookRefusesWhatCannotBeServedAndWarnsOfWhatItDoesToOthers(t *testing.T) {
	namespace := newNamespace(t)
	// The API server is not the only one who reaches the port, but here it is: its certificate is asked for.
	_, err := kubectl("", "create", "configmap", "client-ca", "--namespace", namespace, "--from-literal=ca.crt="+string(world.Authority.PEM))
	check(t, err)
	g, class := installFor(t, namespace,
		"--set", "controller.admissionWebhooks.enabled=true,controller.admissionWebhooks.failurePolicy=Fail",
		"--set", "controller.admissionWebhooks.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name="+namespace,
		"--set", "controller.extraArgs.validating-webhook-client-ca=/client-ca/ca.crt",
		"--set-json", `controller.extraVolumes=[{"name":"client-ca","configMap":{"name":"client-ca"}}]`,
		"--set-json", `controller.extraVolumeMounts=[{"name":"client-ca","mountPath":"/client-ca"}]`,
	)
	newBackend(t, namespace, "shop", 1).ready(t)

	heard := new(warnings)
	config := rest.CopyConfig(world.Config)
	config.WarningHandler = heard
	client, err := kubernetes.NewForConfig(config)
	check(t, err)
	create := func(name, path string, annotations map[string]string) error {
		kind := networkingv1.PathTypeImplementationSpecific
		_, err := client.NetworkingV1().Ingresses(namespace).Create(context.Background(), &networkingv1.Ingress{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
			Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{Host: "shop.example", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &kind, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 8080}}}}},
			}}}}},
		}, metav1.CreateOptions{})
		return err
	}
	regex := map[string]string{"nginx.ingress.kubernetes.io/use-regex": "true"}
	eventually(t, "a path that is no regular expression is refused", func() error {
		err := create("broken", "/(unclosed", regex)
		if err == nil {
			client.NetworkingV1().Ingresses(namespace).Delete(context.Background(), "broken", metav1.DeleteOptions{})
			return fmt.Errorf("it is taken")
		}
		if !strings.Contains(err.Error(), "denied") || !strings.Contains(err.Error(), "/(unclosed") {
			return err // not from the webhook, or not with the reason
		}
		return nil
	})
	check(t, create("good", "/cart", nil))
	g.serves(t, "http://shop.example/cart", 200)
	// The same path once more: the older one goes on, and the author is told.
	check(t, create("twice", "/cart", nil))
	if !strings.Contains(heard.String(), namespace+"/good") {
		t.Errorf("the warnings are %q", heard)
	}
}
