// Package cluster is a Kubernetes cluster for tests: the real control plane as processes, and a node that runs Pods as
// processes. It needs root and a network namespace of its own; all of it ends with the process that started it.
package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"
)

const (
	bridge    = "pods"
	hostIP    = "10.244.0.1"
	podPrefix = "10.244.0.0/16"
	apiPort   = 6443
	etcdURL   = "http://127.0.0.1:2379"
	// StartTime is how long a process of the control plane may take to serve.
	startTime = 90 * time.Second
)

// Cluster is a running cluster.
type Cluster struct {
	Dir        string // kubeconfig, logs, pods
	Kubeconfig string // of an administrator
	Config     *rest.Config
	Client     *kubernetes.Clientset
	Node       *Node
	Authority  *Authority // who signed the API server's certificate

	program   string // controlplane
	apiServer *process
	others    []*process
	end       context.CancelFunc
}

// Start starts a cluster in dir with the programs of the folder bin.
func Start(dir, bin string, images map[string]Image) (_ *Cluster, err error) {
	klog.SetLogger(logr.Discard()) // what a watch says when it is cancelled
	ctx, end := context.WithCancel(context.Background())
	c := &Cluster{Dir: dir, program: filepath.Join(bin, "controlplane"), end: end}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	for _, folder := range []string{"logs", "pki", "pods"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, err
		}
	}
	if err := makeNetwork(); err != nil {
		return nil, err
	}
	if err := c.writeKeys(); err != nil {
		return nil, err
	}
	etcd, err := c.start("etcd", filepath.Join(dir, "etcd"), etcdURL, "http://127.0.0.1:2380")
	if err != nil {
		return nil, err
	}
	c.others = append(c.others, etcd)
	if err := etcd.waitFor("etcd", func() bool { return dials("127.0.0.1:2379") }); err != nil {
		return nil, err
	}
	if err := c.StartAPIServer(); err != nil {
		return nil, err
	}
	manager, err := c.start("kube-controller-manager",
		"--kubeconfig="+c.Kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1",
		// The node lives as long as this process does. While the API server is away, its Lease would run out.
		"--controllers=*,-node-lifecycle-controller",
		"--service-account-private-key-file="+c.key("sa.key"), "--root-ca-file="+c.key("ca.crt"),
		"--kube-api-qps=300", "--kube-api-burst=600", "--concurrent-endpoint-syncs=10", "--concurrent-service-endpoint-syncs=10")
	if err != nil {
		return nil, err
	}
	c.others = append(c.others, manager)
	c.Node = newNode(c.Client, filepath.Join(dir, "pods"), filepath.Join(bin, "sandbox"), images)
	if err := c.Node.start(ctx); err != nil {
		return nil, err
	}
	return c, manager.waitFor("the default service account", func() bool {
		_, err := c.Client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
}

// StartAPIServer starts the API server and waits until it is ready.
func (c *Cluster) StartAPIServer() error {
	server, err := c.start("kube-apiserver",
		"--etcd-servers="+etcdURL, "--bind-address="+hostIP, fmt.Sprintf("--secure-port=%d", apiPort),
		"--advertise-address="+hostIP, "--enable-aggregator-routing=true", // webhooks by endpoint: nothing routes cluster IPs
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC",
		"--tls-cert-file="+c.key("apiserver.crt"), "--tls-private-key-file="+c.key("apiserver.key"),
		"--client-ca-file="+c.key("ca.crt"), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.key("sa.key"), "--service-account-signing-key-file="+c.key("sa.key"),
		"--proxy-client-cert-file="+c.key("webhook.crt"), "--proxy-client-key-file="+c.key("webhook.key"),
		"--admission-control-config-file="+c.key("admission.yaml"),
		"--shutdown-delay-duration=0s", "--profiling=false", "--allow-privileged=true")
	if err != nil {
		return err
	}
	c.apiServer = server
	return server.waitFor("the API server", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return c.Client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	})
}

// StopAPIServer kills the API server: connections are reset, new ones refused.
func (c *Cluster) StopAPIServer() {
	c.apiServer.kill()
}

// Stop ends everything.
func (c *Cluster) Stop() {
	c.end()
	if c.Node != nil {
		c.Node.wait()
	}
	if c.apiServer != nil {
		c.apiServer.kill()
	}
	for _, other := range c.others {
		other.kill()
	}
}

func (c *Cluster) key(name string) string { return filepath.Join(c.Dir, "pki", name) }

func (c *Cluster) start(role string, args ...string) (*process, error) {
	log := filepath.Join(c.Dir, "logs", role+".log")
	return startProcess(exec.Command(c.program, append([]string{role}, args...)...), log)
}

// writeKeys makes all certificates and the administrator's kubeconfig.
func (c *Cluster) writeKeys() error {
	authority, err := NewAuthority("e2e")
	if err != nil {
		return err
	}
	c.Authority = authority
	server, err := authority.Serve("kubernetes.default.svc", "kubernetes", "127.0.0.1", hostIP, "10.96.0.1")
	if err != nil {
		return err
	}
	admin, err := authority.Identify("admin", "system:masters")
	if err != nil {
		return err
	}
	webhook, err := authority.Identify("kube-apiserver", "e2e")
	if err != nil {
		return err
	}
	tokenKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tokenPEM, err := keyPEM(tokenKey)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"ca.crt": authority.PEM, "apiserver.crt": server.Certificate, "apiserver.key": server.Key,
		"webhook.crt": webhook.Certificate, "webhook.key": webhook.Key, "sa.key": tokenPEM,
		"admission.yaml":     []byte(fmt.Sprintf(admissionConfig, c.key("webhook.kubeconfig"))),
		"webhook.kubeconfig": []byte(fmt.Sprintf(webhookKubeconfig, c.key("webhook.crt"), c.key("webhook.key"))),
	}
	for name, content := range files {
		if err := os.WriteFile(c.key(name), content, 0o600); err != nil {
			return err
		}
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{
		Server: fmt.Sprintf("https://%s:%d", hostIP, apiPort), CertificateAuthorityData: authority.PEM,
	}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: admin.Certificate, ClientKeyData: admin.Key}
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: "admin"}
	config.CurrentContext = "e2e"
	c.Kubeconfig = filepath.Join(c.Dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, c.Kubeconfig); err != nil {
		return err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.Config.QPS, c.Config.Burst = 1000, 2000
	c.Client, err = kubernetes.NewForConfig(c.Config)
	return err
}

// The API server proves itself to webhooks with a client certificate.
const admissionConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: %s
`

const webhookKubeconfig = `apiVersion: v1
kind: Config
users:
- name: '*'
  user:
    client-certificate: %s
    client-key: %s
`

// makeNetwork makes the bridge that Pods hang off. Anywhere but in an empty network namespace it refuses.
func makeNetwork() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	if len(links) != 1 {
		return errors.New("the tests need a network namespace of their own; e2e/run.sh makes one")
	}
	return ip("link set lo up", "link add "+bridge+" type bridge", "addr add "+hostIP+"/16 dev "+bridge, "link set "+bridge+" up")
}

// ip runs commands of ip(8).
func ip(lines ...string) error {
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, output)
	}
	return nil
}

func dials(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// Ready tells whether a Pod is ready.
func Ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
