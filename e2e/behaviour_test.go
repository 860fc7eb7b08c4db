package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What Kubernetes' own conformance of Ingress controllers names: default backend, host rules, path rules, class, balancing.

// rule is a path of a host that goes to a backend of its own, whose name tells the rule.
type rule struct{ host, path, kind, service string }

// publish makes an Ingress of rules, and a backend for each Service that they name.
func publish(t *testing.T, namespace, name, more string, rules ...rule) {
	t.Helper()
	made := map[string]bool{}
	text := fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: %s}\nspec:\n  ingressClassName: ingora\n%s  rules:\n", name, more)
	for _, r := range rules {
		if !made[r.service] {
			made[r.service] = true
			newBackend(t, namespace, r.service, 1)
		}
		text += fmt.Sprintf("  - host: %q\n    http:\n      paths:\n      - {path: %s, pathType: %s, backend: {service: {name: %s, port: {number: 8080}}}}\n", r.host, r.path, r.kind, r.service)
	}
	apply(t, namespace, text)
}

// expect checks the status of an answer, and that it comes from a Service, which gets path and host as they were sent.
func expect(t *testing.T, host, path string, status int, service string) {
	t.Helper()
	a := get(t, "http://"+host+path)
	if a.StatusCode != status || a.saw.Service != service {
		t.Errorf("%s%s: %d from %q, want %d from %q", host, path, a.StatusCode, a.saw.Service, status, service)
	}
	if status == 200 && (a.saw.Path != path || a.saw.Host != host) {
		t.Errorf("%s%s: the backend got %s%s", host, path, a.saw.Host, a.saw.Path)
	}
}

func TestPathRules(t *testing.T) {
	namespace := newNamespace(t)
	in := func(host string) string { return host + "." + namespace }
	publish(t, namespace, "paths", "",
		rule{in("exact"), "/foo", "Exact", "foo-exact"},
		rule{in("prefix"), "/foo", "Prefix", "foo-prefix"},
		rule{in("prefix"), "/aaa/bbb", "Prefix", "aaa-bbb-prefix"},
		rule{in("prefix"), "/aaa", "Prefix", "aaa-prefix"},
		rule{in("mixed"), "/foo", "Prefix", "foo-prefix"},
		rule{in("mixed"), "/foo", "Exact", "foo-exact"},
		rule{in("slash"), "/aaa/bbb/", "Prefix", "aaa-bbb-slash"},
		rule{in("slash"), "/foo/", "Exact", "foo-slash-exact"},
	)
	for _, url := range []string{in("exact") + "/foo", in("prefix") + "/foo", in("prefix") + "/aaa", in("prefix") + "/aaa/bbb", in("slash") + "/foo/", in("slash") + "/aaa/bbb/"} {
		shared.serves(t, "http://"+url, 200)
	}
	for _, c := range []struct {
		host, path string
		status     int
		service    string
	}{
		{"exact", "/foo", 200, "foo-exact"},
		{"exact", "/foo/", 404, ""},
		{"exact", "/FOO", 404, ""},
		{"exact", "/bar", 404, ""},
		{"prefix", "/foo", 200, "foo-prefix"},
		{"prefix", "/foo/", 200, "foo-prefix"},
		{"prefix", "/FOO", 404, ""},
		{"prefix", "/aaa/bbb", 200, "aaa-bbb-prefix"},
		{"prefix", "/aaa/bbb/ccc", 200, "aaa-bbb-prefix"},
		{"prefix", "/aaa/ccc", 200, "aaa-prefix"},
		{"prefix", "/aaaccc", 404, ""},
		{"mixed", "/foo", 200, "foo-exact"},
		{"mixed", "/foo/", 200, "foo-prefix"},
		{"slash", "/aaa/bbb", 200, "aaa-bbb-slash"},
		{"slash", "/aaa/bbb/", 200, "aaa-bbb-slash"},
		{"slash", "/foo", 404, ""},
		{"slash", "/foo/", 200, "foo-slash-exact"},
	} {
		expect(t, in(c.host), c.path, c.status, c.service)
	}
}

func TestHostRules(t *testing.T) {
	namespace := newNamespace(t)
	foo, bar := "foo-"+namespace+".example", "bar-"+namespace+".example"
	pair, err := world.Authority.Serve("foo." + bar)
	check(t, err)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "certificate"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key},
	}
	_, err = world.Client.CoreV1().Secrets(namespace).Create(context.Background(), secret, metav1.CreateOptions{})
	check(t, err)
	publish(t, namespace, "wild", "", rule{"*." + foo, "/", "Prefix", "wildcard"})
	publish(t, namespace, "hosts", fmt.Sprintf("  tls: [{hosts: [foo.%s], secretName: certificate}]\n", bar), rule{"foo." + bar, "/", "Prefix", "foo-bar"})
	shared.serves(t, "http://bar."+foo+"/", 200)
	shared.serves(t, "https://foo."+bar+"/", 200)

	a := get(t, "https://foo."+bar+"/")
	if err := a.leaf.VerifyHostname("foo." + bar); err != nil || a.saw.Service != "foo-bar" || a.saw.Host != "foo."+bar {
		t.Errorf("over TLS %+v answers, with a certificate that is good: %v", a.saw, err)
	}
	// As in ingress-nginx, a host with TLS redirects what is not; the annotation turns that off.
	if a := get(t, "http://foo."+bar+"/"); a.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("without TLS the answer is %d, want a redirect", a.StatusCode)
	}
	_, err = kubectl("", "annotate", "--namespace", namespace, "ingress/hosts", "nginx.ingress.kubernetes.io/ssl-redirect=false")
	check(t, err)
	shared.serves(t, "http://foo."+bar+"/", 200)
	expect(t, "foo."+bar, "/", 200, "foo-bar")
	expect(t, "subdomain."+bar, "/", 404, "")
	expect(t, "bar."+foo, "/", 200, "wildcard")
	expect(t, "baz.bar."+foo, "/", 404, "")
	expect(t, foo, "/", 404, "")
}

func TestTheDefaultBackendGetsWhatNoRuleMatches(t *testing.T) {
	namespace := newNamespace(t)
	newBackend(t, namespace, "fallback", 1).ready(t)
	apply(t, namespace, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: default}\nspec: {ingressClassName: ingora, defaultBackend: {service: {name: fallback, port: {number: 8080}}}}\n")
	shared.serves(t, "http://nobody.example/", 200)
	defer func() { // other tests expect 404
		check(t, world.Client.NetworkingV1().Ingresses(namespace).Delete(context.Background(), "default", metav1.DeleteOptions{}))
		shared.serves(t, "http://nobody.example/", 404)
	}()
	c := client(shared.address(t))
	for _, request := range []struct{ method, host, path string }{
		{"GET", "my-host", "/"}, {"GET", "my-host", "/sub-path"}, {"POST", "some-host", "/"}, {"PUT", "192.0.2.1", "/resource"},
		{"DELETE", "some-host", "/resource"}, {"PATCH", "my-host", "/resource"},
	} {
		a, err := send(c, request.method, "http://"+request.host+request.path)
		check(t, err)
		if a.StatusCode != 200 || a.Proto != "HTTP/1.1" || a.saw.Service != "fallback" || a.saw.Method != request.method || a.saw.Path != request.path || a.saw.Proto != "HTTP/1.1" {
			t.Errorf("%v: %s by %+v", request, a.Status, a.saw)
		}
		if agent := a.saw.Headers.Get("User-Agent"); agent != "Go-http-client/1.1" {
			t.Errorf("%v: the backend saw the user agent %q", request, agent)
		}
		if length, err := strconv.Atoi(a.Header.Get("Content-Length")); err != nil || length != len(a.body) {
			t.Errorf("%v: Content-Length %q of %d bytes", request, a.Header.Get("Content-Length"), len(a.body))
		}
		for _, field := range []string{"Content-Type", "Date", "Server"} {
			if a.Header.Get(field) == "" {
				t.Errorf("%v: no %s in %v", request, field, a.Header)
			}
		}
	}
}

func TestAnIngressOfAnotherClassIsNotServed(t *testing.T) {
	namespace := newNamespace(t)
	newBackend(t, namespace, "shop", 1).ready(t)
	newIngressOf(t, "some-invalid-class-name", namespace, "class-"+namespace, "shop")
	newBackend(t, namespace, "later", 1).ready(t)
	newIngress(t, namespace, "later-"+namespace, "later")
	shared.serves(t, "http://later-"+namespace+"/", 200) // by now the other has been seen
	expect(t, "class-"+namespace, "/", 404, "")
	ingress, err := world.Client.NetworkingV1().Ingresses(namespace).Get(context.Background(), "shop", metav1.GetOptions{})
	check(t, err)
	if addresses := ingress.Status.LoadBalancer.Ingress; len(addresses) > 0 {
		t.Errorf("its status has %v", addresses)
	}
}

func TestTenPodsAllAnswer(t *testing.T) {
	_, host := site(t, 10)
	eventually(t, "100 requests reach ten Pods", func() error {
		c := client(shared.address(t))
		defer c.CloseIdleConnections()
		pods := map[string]bool{}
		for range 100 {
			a, err := send(c, http.MethodGet, "http://"+host+"/")
			if err != nil || a.StatusCode != 200 {
				t.Fatalf("%v %v", a, err)
			}
			pods[a.saw.Pod] = true
		}
		if len(pods) != 10 {
			return fmt.Errorf("%d Pods answer", len(pods))
		}
		return nil
	})
}
