package e2e

import (
	"testing"
	"time"
)

func TestWithoutAnAPIServerTrafficGoesOnAndChangesFollow(t *testing.T) {
	_, host := site(t, 2)
	l := startLoad(shared.address(t), "http://"+host+"/", 4)
	pods, err := shared.pods()
	check(t, err)
	world.StopAPIServer()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		for _, pod := range pods { // new connections, too, and probes
			for _, url := range []string{"http://" + host + "/", "http://" + host + ":10254/readyz"} {
				c := client(pod.Status.PodIP)
				if a, err := send(c, "GET", url); err != nil || a.StatusCode != 200 {
					t.Errorf("%s of %s without an API server: %v %v", url, pod.Name, a, err)
				}
				c.CloseIdleConnections()
			}
		}
	}
	check(t, world.StartAPIServer())
	l.end(t)

	namespace := newNamespace(t)
	newBackend(t, namespace, "later", 1).ready(t)
	newIngress(t, namespace, namespace+".example", "later")
	shared.serves(t, "http://"+namespace+".example/", 200)
	for _, pod := range pods {
		after, err := shared.pods()
		check(t, err)
		for _, other := range after {
			if other.Name == pod.Name && other.Status.ContainerStatuses[0].RestartCount != pod.Status.ContainerStatuses[0].RestartCount {
				t.Errorf("%s was restarted", pod.Name)
			}
		}
	}
}

func TestAGatewayThatStartsWithoutAnAPIServerIsNotReadyAndTellsWhy(t *testing.T) {
	// The address is nobody's: what listens there would be the API server.
	namespace := newNamespace(t)
	text, err := render("--set", "controller.ingressClassResource.enabled=false,rbac.create=false,controller.service.enabled=false,controller.publishService.enabled=false",
		"--set", "controller.podAnnotations.e2e/api-server=10.244.0.1:9", "--set", "namespaceOverride="+namespace)
	check(t, err)
	apply(t, namespace, text)
	g := &gateway{namespace, "release", "release-ingora-controller"}
	eventually(t, "it runs and is not ready", func() error {
		pods, err := g.pods()
		if err != nil || len(pods) == 0 || pods[0].Status.PodIP == "" {
			return errNotYet
		}
		a, err := send(client(pods[0].Status.PodIP), "GET", "http://gateway:10254/readyz")
		if err != nil {
			return err
		}
		if a.StatusCode != 503 {
			t.Fatalf("it answers %s", a.Status)
		}
		return nil
	})
}
