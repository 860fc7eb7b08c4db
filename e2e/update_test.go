package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// balancer is a load balancer in front of a gateway that learns late: it sends connections to the Pods that were ready some
// seconds ago.
type balancer struct {
	listener net.Listener
	delay    time.Duration
	mu       sync.Mutex
	history  []view // by time
	turn     int
	refused  int
}

type view struct {
	at   time.Time
	pods []string
}

func newBalancer(t *testing.T, g *gateway, delay time.Duration) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:80")
	check(t, err)
	b := &balancer{listener: listener, delay: delay}
	ctx, cancel := context.WithCancel(context.Background())
	b.look(ctx, g)
	b.history[0].at = b.history[0].at.Add(-delay) // what was there before
	go func() {
		for ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			b.look(ctx, g)
		}
	}()
	go b.accept()
	t.Cleanup(func() { cancel(); listener.Close() })
	return b
}

// look notes which Pods are ready and not ending.
func (b *balancer) look(ctx context.Context, g *gateway) {
	slices, err := world.Client.DiscoveryV1().EndpointSlices(g.namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + g.controller})
	if err != nil {
		return
	}
	now := view{at: time.Now()}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
				now.pods = append(now.pods, endpoint.Addresses[0])
			}
		}
	}
	b.mu.Lock()
	b.history = append(b.history, now)
	b.mu.Unlock()
}

// next is the Pod whose turn it is.
func (b *balancer) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.history[0]
	for _, later := range b.history {
		if time.Since(later.at) >= b.delay {
			known = later
		}
	}
	b.turn++
	return known.pods[b.turn%len(known.pods)]
}

func (b *balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		go b.forward(client.(*net.TCPConn))
	}
}

func (b *balancer) forward(client *net.TCPConn) {
	defer client.Close()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(b.next(), "80"), 2*time.Second)
	if err != nil {
		b.mu.Lock()
		b.refused++
		b.mu.Unlock()
		return
	}
	defer conn.Close()
	done := make(chan struct{})
	go func() {
		io.Copy(conn, client) // an error is the client's to see
		conn.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	io.Copy(client, conn)
	client.CloseWrite()
	<-done
}

func TestOurOwnRollingUpdateRefusesNobodyBehindALateBalancer(t *testing.T) {
	namespace := newNamespace(t)
	// What the chart has by itself, against a balancer that is 15 seconds late.
	g, class := installFor(t, namespace, "--set", "controller.replicaCount=2,controller.minReadySeconds=16", "--set", "controller.extraArgs.shutdown-grace-period=20s")
	newBackend(t, namespace, "shop", 2).ready(t)
	newIngressOf(t, class, namespace, "shop.example", "shop")
	g.serves(t, "http://shop.example/", 200)
	b := newBalancer(t, g, 15*time.Second)
	kept := startLoad("127.0.0.1", "http://shop.example/slow?ms=20", 4)
	fresh := startLoadFresh("127.0.0.1", "http://shop.example/slow?ms=20", 4)
	_, err := kubectl("", "rollout", "restart", "--namespace", namespace, "deployment/"+g.controller)
	check(t, err)
	_, err = kubectl("", "rollout", "status", "--namespace", namespace, "deployment/"+g.controller, "--timeout=180s")
	check(t, err)
	// The old Pods end only after the balancer has noticed.
	eventually(t, "the old Pods are gone", func() error {
		list, err := world.Client.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=controller"})
		if err == nil && len(list.Items) != 2 {
			err = errNotYet
		}
		return err
	})
	kept.end(t)
	fresh.end(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused > 0 {
		t.Errorf("%d connections were refused", b.refused)
	}
}

// startLoadFresh is startLoad with a connection for each request.
func startLoadFresh(address, url string, workers int) *load {
	c := client(address)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return startLoadWith(c, url, workers)
}
