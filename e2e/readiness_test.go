package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func TestThePodsReadinessProbeIsTheCheckOfTheGateway(t *testing.T) {
	namespace := newNamespace(t)
	g, class := installFor(t, namespace, "--set", "controller.healthCheck.readinessProbe=true")
	rights := allowed(t, as(t, namespace, namespace+"-ingora"), "", "")
	if pods := only(rights, "pods"); !slices.Equal(pods, []string{"get pods"}) {
		t.Errorf("of Pods it may %v", pods)
	}

	shop := newBackend(t, namespace, "shop", 2)
	shop.patch(t, `{"spec":{"template":{"spec":{"containers":[{"name":"backend","readinessProbe":{"httpGet":{"path":"/ready","port":"http"}}}]}}}}`)
	shop.ready(t)
	_, err := kubectl("", "annotate", "--namespace", namespace, "service/shop", "ingora.io/health-check=readiness-probe")
	check(t, err)
	host := "shop-" + namespace
	newIngressOf(t, class, namespace, host, "shop")
	g.serves(t, "http://"+host+"/", 200)

	sick := getFrom(t, g, "http://"+host+"/refuse").saw.Pod
	eventually(t, "a Pod leaves that is well for the kubelet only", func() error {
		c := client(g.address(t))
		defer c.CloseIdleConnections()
		for range 20 {
			a, err := send(c, http.MethodGet, "http://"+host+"/")
			if err != nil {
				return err
			}
			if a.StatusCode != 200 || a.saw.Pod == sick {
				return fmt.Errorf("%s by %s", a.Status, a.saw.Pod)
			}
		}
		return nil
	})
	shop.ready(t)
}
