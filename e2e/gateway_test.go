package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ingora/e2e/cluster"
)

// gateway is a release of the chart; controller is the name of its workload and Service.
type gateway struct{ namespace, release, controller string }

// install installs the chart and waits until all of its Pods are ready.
func install(namespace, release string, flags ...string) (*gateway, error) {
	g := &gateway{namespace, release, release + "-ingora-controller"}
	if strings.Contains(release, "ingora") {
		g.controller = release + "-controller"
	}
	args := append([]string{"upgrade", "--install", release, chart(), "--namespace", namespace, "--create-namespace"}, flags...)
	if _, err := helm(args...); err != nil {
		return nil, err
	}
	return g, waitFor("the gateway is ready", patience, g.ready)
}

// installFor installs a gateway of its own for a test, with a class of its own: of the name that is returned.
func installFor(t *testing.T, namespace string, flags ...string) (*gateway, string) {
	t.Helper()
	class := namespace
	flags = append([]string{
		"--set", "controller.ingressClassResource.name=" + class, "--set", "controller.ingressClass=" + class,
		"--set", "controller.ingressClassResource.controllerValue=e2e/" + class,
		"--set", "controller.extraArgs.shutdown-grace-period=1s",
	}, flags...)
	g, err := install(namespace, namespace, flags...)
	t.Cleanup(func() {
		if _, err := helm("uninstall", namespace, "--namespace", namespace, "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	check(t, err)
	return g, class
}

// pods are the gateway's Pods that are not ending, by name.
func (g *gateway) pods() ([]corev1.Pod, error) {
	list, err := world.Client.CoreV1().Pods(g.namespace).List(context.Background(), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/component=controller,app.kubernetes.io/instance=" + g.release,
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil }), nil
}

// ready tells whether as many Pods as wanted run the newest version and are ready.
func (g *gateway) ready() error {
	deployment, err := world.Client.AppsV1().Deployments(g.namespace).Get(context.Background(), g.controller, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		set, err := world.Client.AppsV1().DaemonSets(g.namespace).Get(context.Background(), g.controller, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := set.Status; s.ObservedGeneration < set.Generation || s.NumberReady == 0 || s.NumberReady < s.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d Pods are ready", s.NumberReady, s.DesiredNumberScheduled)
		}
		return nil
	} else if err != nil {
		return err
	}
	want := int32(1)
	if deployment.Spec.Replicas != nil {
		want = *deployment.Spec.Replicas
	}
	if s := deployment.Status; s.ObservedGeneration < deployment.Generation || s.ReadyReplicas != want || s.UpdatedReplicas != want || s.Replicas != want {
		return fmt.Errorf("%d of %d Pods are ready, %d new, %d in all", s.ReadyReplicas, want, s.UpdatedReplicas, s.Replicas)
	}
	return nil
}

// address is the address of a ready Pod of the gateway.
func (g *gateway) address(t *testing.T) string {
	t.Helper()
	pods, err := g.pods()
	check(t, err)
	for _, pod := range pods {
		if cluster.Ready(&pod) {
			return pod.Status.PodIP
		}
	}
	t.Fatal("no Pod of the gateway is ready")
	return ""
}

// answer is a response, with what the backend saw of the request when it was the backend that answered.
type answer struct {
	*http.Response
	body   string
	saw    seen
	leaf   *x509.Certificate // of the gateway, with TLS
	remote string
}

// seen is what the backend tells.
type seen struct {
	Pod, Service, Method, Host, Path, Proto string
	Headers                                 http.Header
}

// client sends every request to one address, whatever its host is, and follows no redirect.
func client(address string) *http.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(target)
				if err != nil {
					return nil, err
				}
				return dialer.DialContext(ctx, network, net.JoinHostPort(address, port))
			},
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
			DisableCompression:  true,
			MaxIdleConnsPerHost: 100,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send sends a request and reads the whole answer.
func send(c *http.Client, method, url string) (*answer, error) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{Response: response, body: string(body)}
	if response.TLS != nil {
		a.leaf = response.TLS.PeerCertificates[0]
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		return a, json.Unmarshal(body, &a.saw)
	}
	return a, nil
}

// get sends GET to the shared gateway over a new connection.
func get(t *testing.T, url string) *answer {
	t.Helper()
	return getFrom(t, shared, url)
}

func getFrom(t *testing.T, g *gateway, url string) *answer {
	t.Helper()
	c := client(g.address(t))
	defer c.CloseIdleConnections()
	a, err := send(c, http.MethodGet, url)
	check(t, err)
	return a
}

// serves waits until every Pod of a gateway answers a URL with a status.
func (g *gateway) serves(t *testing.T, url string, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d", url, status), func() error {
		pods, err := g.pods()
		if err != nil {
			return err
		}
		for _, pod := range pods {
			c := client(pod.Status.PodIP)
			a, err := send(c, http.MethodGet, url)
			c.CloseIdleConnections()
			if err != nil {
				return err
			}
			if a.StatusCode != status {
				return fmt.Errorf("%s answers %d: %s", pod.Name, a.StatusCode, a.body)
			}
		}
		return nil
	})
}
