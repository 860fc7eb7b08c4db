package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ingora/e2e/cluster"
)

// load sends requests without a pause and keeps what went wrong.
type load struct {
	stop     context.CancelFunc
	workers  sync.WaitGroup
	sent     atomic.Int64
	mu       sync.Mutex
	failures []string
	pods     map[string]int // who answered
}

// startLoad sends GET requests to a URL with some workers, each over a connection that it keeps.
func startLoad(address, url string, workers int) *load {
	return startLoadWith(client(address), url, workers)
}

func startLoadWith(c *http.Client, url string, workers int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, pods: map[string]int{}}
	for range workers {
		l.workers.Go(func() {
			for ctx.Err() == nil {
				a, err := send(c, http.MethodGet, url)
				l.sent.Add(1)
				l.note(a, err)
			}
		})
	}
	return l
}

func (l *load) note(a *answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failures = append(l.failures, fmt.Sprintf("%s %s", time.Now().Format("15:04:05.000"), err))
	case a.StatusCode != http.StatusOK:
		l.failures = append(l.failures, fmt.Sprintf("%s %d %s", time.Now().Format("15:04:05.000"), a.StatusCode, a.body))
	default:
		l.pods[a.saw.Pod]++
	}
}

// end stops the load and fails the test when a request failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.workers.Wait()
	if len(l.failures) > 0 {
		t.Fatalf("%d of %d requests failed, first %s", len(l.failures), l.sent.Load(), l.failures[0])
	}
	t.Logf("%d requests, %d Pods answered", l.sent.Load(), len(l.pods))
}

// site is a backend behind a host of the shared gateway.
func site(t *testing.T, replicas int32, env ...string) (b *backend, host string) {
	t.Helper()
	namespace := newNamespace(t)
	b = newBackend(t, namespace, "shop", replicas, env...)
	host = namespace + ".example"
	newIngress(t, namespace, host, "shop")
	b.ready(t)
	shared.serves(t, "http://"+host+"/", 200)
	return b, host
}

func TestARolloutUnderLoadLosesNoRequest(t *testing.T) {
	for _, manner := range []string{"drain", "close", "serve"} {
		t.Run("of Pods that on SIGTERM "+manner, func(t *testing.T) {
			b, host := site(t, 3, "ON_SIGTERM", manner)
			l := startLoad(shared.address(t), "http://"+host+"/slow?ms=5", 8)
			for version := range 2 {
				b.roll(t, version)
				b.ready(t)
			}
			l.end(t)
		})
	}
}

func TestScalingToZeroAndBack(t *testing.T) {
	b, host := site(t, 2)
	b.scale(t, 0)
	shared.serves(t, "http://"+host+"/", 503)
	b.scale(t, 1)
	shared.serves(t, "http://"+host+"/", 200)
}

func TestAnUnreadyPodGetsNoRequest(t *testing.T) {
	b, host := site(t, 2)
	pods := b.pods(t)
	l := startLoad(shared.address(t), "http://"+host+"/", 4)
	for range 3 {
		annotate(t, pods[0], cluster.Unready, "true")
		eventually(t, "only the other Pod answers", func() error { return answersOnly(t, host, pods[1].Name) })
		annotate(t, pods[0], cluster.Unready, "")
		eventually(t, "both answer again", func() error {
			if answersOnly(t, host, pods[1].Name) == nil {
				return fmt.Errorf("one Pod answers all")
			}
			return nil
		})
	}
	l.end(t)
}

// answersOnly tells whether a row of requests is answered by one Pod.
func answersOnly(t *testing.T, host, pod string) error {
	for range 20 {
		if a := get(t, "http://"+host+"/"); a.saw.Pod != pod {
			return fmt.Errorf("%s answers", a.saw.Pod)
		}
	}
	return nil
}

func TestASlowStarterGetsNoRequestTooEarly(t *testing.T) {
	b, host := site(t, 1, "START_DELAY", "2s")
	l := startLoad(shared.address(t), "http://"+host+"/", 4)
	b.scale(t, 3)
	b.ready(t)
	eventually(t, "all three answer", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.pods) < 3 {
			return fmt.Errorf("%d answer", len(l.pods))
		}
		return nil
	})
	l.end(t)
}

func TestATerminatingPodGetsRequestsOnlyWhenAllTerminate(t *testing.T) {
	b, host := site(t, 2, "ON_SIGTERM", "serve")
	pods := b.pods(t)
	newest := pods[0]
	check(t, world.Client.CoreV1().Pods(newest.Namespace).Delete(context.Background(), newest.Name, metav1.DeleteOptions{}))
	eventually(t, "its endpoint terminates", func() error { return terminating(b.namespace, newest.Status.PodIP) })
	eventually(t, "the other Pods answer", func() error {
		for range 20 {
			if a := get(t, "http://"+host+"/"); a.saw.Pod == newest.Name {
				return fmt.Errorf("the terminating one answers")
			}
		}
		return nil
	})

	b.scale(t, 0)
	eventually(t, "all Pods terminate", func() error {
		if left := len(b.pods(t)); left > 0 {
			return fmt.Errorf("%d do not", left)
		}
		return nil
	})
	if a := get(t, "http://"+host+"/"); a.StatusCode != 200 {
		t.Fatalf("while all Pods terminate the answer is %d: %s", a.StatusCode, a.body)
	}
}

// terminating tells whether the endpoint of an address terminates.
func terminating(namespace, address string) error {
	slices, err := world.Client.DiscoveryV1().EndpointSlices(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Addresses[0] == address {
				return endsNow(endpoint)
			}
		}
	}
	return nil // gone already
}

func endsNow(endpoint discoveryv1.Endpoint) error {
	if endpoint.Conditions.Terminating == nil || !*endpoint.Conditions.Terminating {
		return fmt.Errorf("%s does not terminate", endpoint.Addresses[0])
	}
	return nil
}

func TestALongStreamFinishesWhileItsPodTerminates(t *testing.T) {
	b, host := site(t, 1)
	pod := b.pods(t)[0]
	response, err := client(shared.address(t)).Get("http://" + host + "/stream?count=40&ms=100")
	check(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for count := range 40 {
		if !lines.Scan() {
			t.Fatalf("%d of 40 lines came: %v", count, lines.Err())
		}
		if count == 0 {
			check(t, world.Client.CoreV1().Pods(pod.Namespace).Delete(context.Background(), pod.Name, metav1.DeleteOptions{}))
		}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Fatalf("the stream does not end well: %q %v", lines.Text(), lines.Err())
	}
}

func TestAWebSocketStaysWhileItsPodTerminates(t *testing.T) {
	b, host := site(t, 1, "ON_SIGTERM", "serve")
	pod := b.pods(t)[0]
	say := webSocket(t, shared.address(t), host)
	say("one")
	check(t, world.Client.CoreV1().Pods(pod.Namespace).Delete(context.Background(), pod.Name, metav1.DeleteOptions{}))
	eventually(t, "the endpoint terminates", func() error { return terminating(b.namespace, pod.Status.PodIP) })
	for range 20 {
		say("more")
		time.Sleep(100 * time.Millisecond) // a connection in use, over a while
	}
}

// webSocket opens a connection that echoes, and returns what says a line and checks its echo.
func webSocket(t *testing.T, address, host string) func(string) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(address, "80"))
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	check(t, err)
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade is answered with %s", response.Status)
	}
	return func(line string) {
		t.Helper()
		check(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err := fmt.Fprintln(conn, line)
		check(t, err)
		echo, err := reader.ReadString('\n')
		if err != nil || !strings.HasSuffix(echo, " "+line+"\n") {
			t.Fatalf("said %q, heard %q: %v", line, echo, err)
		}
	}
}
