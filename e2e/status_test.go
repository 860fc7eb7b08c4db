package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// give gives the gateway's Service addresses, as a cloud's load balancer does.
func (g *gateway) give(t *testing.T, addresses ...string) {
	t.Helper()
	entries := []map[string]string{}
	for _, address := range addresses {
		entries = append(entries, map[string]string{"ip": address})
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": entries}}})
	check(t, err)
	_, err = world.Client.CoreV1().Services(g.namespace).Patch(context.Background(), g.controller, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	check(t, err)
}

// addresses waits until an Ingress has these addresses, separated by blanks.
func addresses(t *testing.T, namespace, name, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the status of %s is %q", name, want), func() error {
		if got := addressesNow(t, namespace, name); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func addressesNow(t *testing.T, namespace, name string) string {
	t.Helper()
	ingress, err := world.Client.NetworkingV1().Ingresses(namespace).Get(context.Background(), name, metav1.GetOptions{})
	check(t, err)
	var found []string
	for _, entry := range ingress.Status.LoadBalancer.Ingress {
		found = append(found, entry.IP+entry.Hostname)
	}
	return strings.Join(found, " ")
}

func TestTheStatusTellsTheAddressesOfTheService(t *testing.T) {
	namespace := newNamespace(t)
	g, class := installFor(t, namespace, "--set", "controller.extraArgs.status-update-interval=1s")
	newIngressOf(t, class, namespace, "one.example", "one")
	g.give(t, "203.0.113.9", "203.0.113.10")
	addresses(t, namespace, "one", "203.0.113.10 203.0.113.9") // sorted
	newIngressOf(t, class, namespace, "two.example", "two")
	addresses(t, namespace, "two", "203.0.113.10 203.0.113.9")
	g.give(t, "203.0.113.11")
	addresses(t, namespace, "one", "203.0.113.11")

	// The last replica takes them back.
	_, err := kubectl("", "scale", "--namespace", namespace, "deployment", g.controller, "--replicas=0")
	check(t, err)
	addresses(t, namespace, "one", "")
	addresses(t, namespace, "two", "")
}

func TestEventsTellWhyAPathIsNotServed(t *testing.T) {
	namespace := newNamespace(t)
	newIngress(t, namespace, namespace+".example", "missing")
	shared.serves(t, "http://"+namespace+".example/", 503)
	eventually(t, "kubectl describe tells", func() error {
		text, err := kubectl("", "describe", "ingress", "--namespace", namespace, "missing")
		if err == nil && !(strings.Contains(text, "Warning") && strings.Contains(text, `missing" does not exist`)) {
			err = fmt.Errorf("it tells %s", text)
		}
		return err
	})
	events, err := world.Client.CoreV1().Events(namespace).List(context.Background(), metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.kind=Ingress"})
	check(t, err)
	if len(events.Items) != 1 {
		t.Errorf("two replicas made %d events of one problem", len(events.Items))
	}
}

func (g *gateway) lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	lease, err := world.Client.CoordinationV1().Leases(g.namespace).Get(context.Background(), strings.TrimSuffix(g.controller, "-controller")+"-leader", metav1.GetOptions{})
	check(t, err)
	return lease
}

func holder(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// leads waits until a replica leads that is none of others, and returns its name.
func (g *gateway) leads(t *testing.T, not ...string) (name string) {
	t.Helper()
	eventually(t, "another replica leads", func() error {
		name = holder(g.lease(t))
		for _, other := range not {
			if name == other || strings.HasPrefix(name, other) {
				return fmt.Errorf("%s leads", name)
			}
		}
		if name == "" {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	return name
}

// two is a gateway of two replicas whose Lease is short.
func two(t *testing.T) (g *gateway, class, namespace string) {
	t.Helper()
	namespace = newNamespace(t)
	g, class = installFor(t, namespace, "--set", "controller.replicaCount=2,controller.electionTTL=6s", "--set", "controller.extraArgs.status-update-interval=1s")
	g.give(t, "203.0.113.20")
	return g, class, namespace
}

func TestAPausedLeaderIsReplacedAndDoesNotWriteWhenItWakes(t *testing.T) {
	g, class, namespace := two(t)
	first := g.leads(t)
	pods, err := g.pods()
	check(t, err)
	for _, pod := range pods {
		if !strings.HasPrefix(first, pod.Name) {
			continue
		}
		pid, err := world.Node.PID(pod.UID, "controller")
		check(t, err)
		check(t, syscall.Kill(pid, syscall.SIGSTOP))
		wake := func() { check(t, syscall.Kill(pid, syscall.SIGCONT)) }
		second := g.leads(t, first)
		newIngressOf(t, class, namespace, "one.example", "one")
		addresses(t, namespace, "one", "203.0.113.20")
		transitions := *g.lease(t).Spec.LeaseTransitions
		wake()
		during(t, "the second one leads on", 8*time.Second, func() error {
			lease := g.lease(t)
			if holder(lease) != second || *lease.Spec.LeaseTransitions != transitions {
				return fmt.Errorf("%s leads after %d transitions", holder(lease), *lease.Spec.LeaseTransitions)
			}
			return nil
		})
		newIngressOf(t, class, namespace, "two.example", "two")
		addresses(t, namespace, "two", "203.0.113.20")
		return
	}
	t.Fatalf("no Pod is called as the leader, %s", first)
}

func TestWhoeverHoldsTheLeaseIsTheOnlyWriter(t *testing.T) {
	g, class, namespace := two(t)
	g.leads(t)
	newIngressOf(t, class, namespace, "one.example", "one")
	addresses(t, namespace, "one", "203.0.113.20")

	// Somebody else takes the Lease. He writes nothing, and nobody else may.
	stolen := time.Now()
	steal := func() {
		lease := g.lease(t)
		thief, seconds, now := "thief", int32(10), metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &thief, &seconds, &now
		_, err := world.Client.CoordinationV1().Leases(g.namespace).Update(context.Background(), lease, metav1.UpdateOptions{})
		if err != nil {
			return // it was renewed meanwhile: again
		}
		stolen = time.Now()
	}
	eventually(t, "the Lease is stolen", func() error {
		steal()
		if name := holder(g.lease(t)); name != "thief" {
			return fmt.Errorf("%s holds it", name)
		}
		return nil
	})
	// The leader finds out at its next renewal, within its own six seconds.
	time.Sleep(time.Until(stolen.Add(6 * time.Second)))
	newIngressOf(t, class, namespace, "two.example", "two")
	during(t, "nobody writes", time.Until(stolen.Add(9*time.Second)), func() error {
		if name := holder(g.lease(t)); name != "thief" {
			return fmt.Errorf("%s holds the Lease before it has run out", name)
		}
		if got := addressesNow(t, namespace, "two"); got != "" {
			return fmt.Errorf("the status is %q", got)
		}
		return nil
	})
	g.leads(t, "thief")
	addresses(t, namespace, "two", "203.0.113.20")
}
