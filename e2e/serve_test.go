package e2e

import "testing"

func TestAnIngressIsServed(t *testing.T) {
	namespace := newNamespace(t)
	newBackend(t, namespace, "shop", 1)
	host := namespace + ".example"
	newIngress(t, namespace, host, "shop")
	shared.serves(t, "http://"+host+"/cart", 200)
	if a := get(t, "http://"+host+"/cart"); a.saw.Service != "shop" || a.saw.Path != "/cart" || a.saw.Host != host {
		t.Fatalf("the backend saw %+v", a.saw)
	}
}
