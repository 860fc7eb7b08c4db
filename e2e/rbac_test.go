package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// as is a client with the rights of a ServiceAccount.
func as(t *testing.T, namespace, account string) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(world.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	client, err := kubernetes.NewForConfig(config)
	check(t, err)
	return client
}

// allowed lists what a ServiceAccount may do of all verbs on all resources that the cluster has, in a namespace or, with an
// empty one, in all. With a name: on the object of that name. What everybody may do is left out.
func allowed(t *testing.T, client *kubernetes.Clientset, namespace, name string) []string {
	t.Helper()
	_, lists, err := world.Client.Discovery().ServerGroupsAndResources()
	check(t, err)
	var found []string
	for _, list := range lists {
		group, _, both := strings.Cut(list.GroupVersion, "/")
		if !both {
			group = ""
		}
		if group == "authorization.k8s.io" || group == "authentication.k8s.io" {
			continue // everybody may ask who he is
		}
		for _, resource := range list.APIResources {
			if namespace != "" && !resource.Namespaced {
				continue
			}
			for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate", "use"} {
				if name != "" && verb != "get" && verb != "update" && verb != "patch" && verb != "delete" {
					continue
				}
				kind, sub, _ := strings.Cut(resource.Name, "/")
				review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: kind, Subresource: sub, Name: name},
				}}
				answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(context.Background(), review, metav1.CreateOptions{})
				check(t, err)
				if answer.Status.Allowed {
					found = append(found, fmt.Sprintf("%s %s", verb, resource.Name))
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// served is what is read in namespaces that are served, and written: addresses and events.
var served = []string{
	"create events", "get secrets", "get services", "list configmaps", "list endpointslices", "list ingresses", "list secrets", "list services",
	"patch events", "patch ingresses/status", "watch configmaps", "watch endpointslices", "watch ingresses", "watch secrets",
	"watch services",
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s may\n  %s\nwant\n  %s", what, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func TestTheServiceAccountMayDoOnlyWhatIsUsed(t *testing.T) {
	client := as(t, shared.namespace, "ingora")
	cluster := append([]string{"list ingressclasses", "watch ingressclasses"}, served...)
	same(t, "in all namespaces it", allowed(t, client, "", ""), cluster)
	same(t, "in its own namespace it", allowed(t, client, shared.namespace, ""), append([]string{"create leases", "get pods", "list pods"}, served...))
	same(t, "with its Lease it", only(allowed(t, client, shared.namespace, "ingora-leader"), "leases"), []string{"get leases", "update leases"})
	same(t, "with another Lease it", only(allowed(t, client, shared.namespace, "another"), "leases"), nil)
}

func only(all []string, resource string) (found []string) {
	for _, one := range all {
		if strings.HasSuffix(one, " "+resource) {
			found = append(found, one)
		}
	}
	return found
}

func TestANamespacedGatewayHasNoRightsElsewhereAndServesItsNamespace(t *testing.T) {
	namespace := newNamespace(t)
	g, _ := installFor(t, namespace,
		"--set", "controller.scope.enabled=true,rbac.scope=true,controller.ingressClassResource.enabled=false")
	client := as(t, namespace, namespace+"-ingora")
	same(t, "elsewhere it", allowed(t, client, "", ""), nil)
	same(t, "in its namespace it", allowed(t, client, namespace, ""), append([]string{"create leases", "get pods", "list pods"}, served...))

	newBackend(t, namespace, "shop", 1).ready(t)
	apply(t, namespace, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {kubernetes.io/ingress.class: %s}}
spec: {rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: http}}}}]}}]}
`, namespace))
	g.serves(t, "http://shop.example/", 200)

	elsewhere := newNamespace(t)
	newBackend(t, elsewhere, "shop", 1).ready(t)
	apply(t, elsewhere, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {kubernetes.io/ingress.class: %s}}
spec: {rules: [{host: elsewhere.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: http}}}}]}}]}
`, namespace))
	waitOneRound(t, g, namespace)
	if a := getFrom(t, g, "http://elsewhere.example/"); a.StatusCode != 404 {
		t.Errorf("an Ingress of another namespace is served: %s", a.Status)
	}
}

// waitOneRound waits until a gateway has read something that is newer than all that was written before.
func waitOneRound(t *testing.T, g *gateway, namespace string) {
	t.Helper()
	apply(t, namespace, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: round, annotations: {kubernetes.io/ingress.class: %s}}
spec: {rules: [{host: round.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: http}}}}]}}]}
`, namespace))
	g.serves(t, "http://round.example/", 200)
}
