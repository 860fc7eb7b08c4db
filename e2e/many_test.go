package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sizes of the measurement.
const (
	manyNamespaces = 50
	manyServices   = 2000
	manyIngresses  = 5000
	manyPaths      = 10
	manyChanges    = 600 // at 20 a second
)

// TestManyObjects measures time to ready, memory, and how long a change takes while many come. It asserts only that all is
// served: figures of a machine that does other things prove nothing.
func TestManyObjects(t *testing.T) {
	if !*manyFlag {
		t.Skip("-many runs it")
	}
	ctx := context.Background()
	class := "many"
	namespaces := make([]string, manyNamespaces)
	for i := range namespaces {
		namespaces[i] = newNamespace(t)
	}
	place := func(i int) string { return namespaces[i%manyNamespaces] }
	b := newBackend(t, namespaces[0], "real", 1)
	b.ready(t)
	address := b.pods(t)[0].Status.PodIP

	began := time.Now()
	inParallel(t, manyServices, func(i int) error { return makeService(ctx, place(i), fmt.Sprintf("s%d", i), address) })
	inParallel(t, manyIngresses, func(i int) error {
		// A Service of the same namespace: those of a namespace are manyNamespaces apart.
		service := fmt.Sprintf("s%d", (i%manyServices)/manyNamespaces*manyNamespaces+i%manyNamespaces)
		_, err := world.Client.NetworkingV1().Ingresses(place(i)).Create(ctx, manyIngress(class, i, service), metav1.CreateOptions{})
		return err
	})
	t.Logf("made in %s", time.Since(began).Round(time.Second))

	home := newNamespace(t)
	g, _ := installFor(t, home, "--set", "controller.ingressClassResource.name="+class+",controller.ingressClass="+class, "--set", "controller.extraArgs.log-level=warn")
	pods, err := g.pods()
	check(t, err)
	t.Logf("ready %s after its start (whole seconds)", readyAfter(pods[0]))
	g.serves(t, fmt.Sprintf("http://h%d.example/p9", manyIngresses-1), 200)
	pid, err := world.Node.PID(pods[0].UID, "controller")
	check(t, err)
	t.Logf("memory with everything: %s", memory(t, pid))

	lags := changes(t, pods[0].Status.PodIP, place)
	slices.Sort(lags)
	t.Logf("from the API server's answer to live, %d changes at 20 a second: median %s, 99th percentile %s, longest %s",
		len(lags), lags[len(lags)/2], lags[len(lags)*99/100], lags[len(lags)-1])
	t.Logf("memory after that: %s", memory(t, pid))
	a, err := send(client(pods[0].Status.PodIP), http.MethodGet, "http://gateway:10254/metrics")
	check(t, err)
	for _, line := range regexp.MustCompile(`(?m)^ingora_(update_live|table_build)_seconds.*$`).FindAllString(a.body, -1) {
		t.Log(line)
	}
}

func makeService(ctx context.Context, namespace, name, address string) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}},
	}
	if _, err := world.Client.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	port, portName, ready := int32(8080), "http", true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	}
	_, err := world.Client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{})
	return err
}

func manyIngress(class string, i int, service string) *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	target := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 8080}}}
	paths := make([]networkingv1.HTTPIngressPath, manyPaths)
	for p := range paths {
		paths[p] = networkingv1.HTTPIngressPath{Path: fmt.Sprintf("/p%d", p), PathType: &prefix, Backend: target}
	}
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("i%d", i)},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: fmt.Sprintf("h%d.example", i), IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths}},
		}}},
	}
}

// changes moves a path of an Ingress after the other, 20 a second, and tells how long each took to be live.
func changes(t *testing.T, address string, place func(int) string) []time.Duration {
	t.Helper()
	var wait sync.WaitGroup
	lags := make([]time.Duration, manyChanges)
	c := client(address)
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	for n := range manyChanges {
		<-tick.C
		i := n * 7 % manyIngresses
		wait.Go(func() {
			path := fmt.Sprintf("/change-%d", n)
			patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/rules/0/http/paths/0/path","value":%q}]`, path)
			if _, err := world.Client.NetworkingV1().Ingresses(place(i)).Patch(context.Background(), fmt.Sprintf("i%d", i), types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Error(err)
				return
			}
			changed := time.Now()
			for time.Since(changed) < patience {
				if a, err := send(c, http.MethodGet, fmt.Sprintf("http://h%d.example%s", i, path)); err == nil && a.StatusCode == 200 {
					lags[n] = time.Since(changed)
					return
				}
			}
			t.Errorf("%s is not live after %s", path, patience)
		})
	}
	wait.Wait()
	return lags
}

func inParallel(t *testing.T, count int, do func(int) error) {
	t.Helper()
	var wait sync.WaitGroup
	for worker := range 16 {
		wait.Go(func() {
			for i := worker; i < count; i += 16 {
				if err := do(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func readyAfter(pod corev1.Pod) time.Duration {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Running != nil {
			return condition.LastTransitionTime.Sub(pod.Status.ContainerStatuses[0].State.Running.StartedAt.Time)
		}
	}
	return 0
}

// memory is what a process holds in RAM.
func memory(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(t, err)
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindStringSubmatch(string(text))
	kilobytes, err := strconv.Atoi(found[1])
	check(t, err)
	return fmt.Sprintf("%d MB", kilobytes/1024)
}
