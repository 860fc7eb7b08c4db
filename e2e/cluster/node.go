package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const nodeName = "node"

// Annotations by which tests steer the node. They are read from the Pod whenever they matter.
const (
	// Unready makes a Pod unready whatever its probes say.
	Unready = "e2e/unready"
	// APIServer is the host:port that a Pod is told to find the API server at.
	APIServer = "e2e/api-server"
)

// Node is scheduler and kubelet of a cluster with one node: every Pod becomes a sandbox with processes. It knows images by
// their repository. Not there: init containers, resource limits, logs through the API.
type Node struct {
	client  kubernetes.Interface
	folder  string
	sandbox string
	images  map[string]Image

	mu   sync.Mutex
	pods map[types.UID]*pod
	next netip.Addr
	jobs sync.WaitGroup
}

func newNode(client kubernetes.Interface, folder, sandbox string, images map[string]Image) *Node {
	first := netip.MustParseAddr(hostIP)
	return &Node{client: client, folder: folder, sandbox: sandbox, images: images, pods: map[types.UID]*pod{}, next: first}
}

func (n *Node) start(ctx context.Context) error {
	if err := n.register(ctx); err != nil {
		return err
	}
	n.jobs.Go(func() { n.renew(ctx) })
	factory := informers.NewSharedInformerFactory(n.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { n.see(ctx, object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { n.see(ctx, object.(*corev1.Pod)) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			n.forget(object.(*corev1.Pod).UID)
		},
	})
	factory.Start(ctx.Done())
	return err
}

// wait returns when all Pods have ended.
func (n *Node) wait() { n.jobs.Wait() }

// see takes note of a Pod's newest version.
func (n *Node) see(ctx context.Context, object *corev1.Pod) {
	if object.Spec.NodeName == "" {
		n.jobs.Go(func() { n.bind(ctx, object) })
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.pods[object.UID]; known != nil {
		known.update(object)
		return
	}
	if object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed {
		return
	}
	added := newPod(n, object)
	n.pods[object.UID] = added
	n.jobs.Go(func() { added.run(ctx) })
}

func (n *Node) forget(uid types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.pods[uid]; known != nil {
		close(known.gone)
		delete(n.pods, uid)
	}
}

// bind is all there is to scheduling with one node.
func (n *Node) bind(ctx context.Context, object *corev1.Pod) {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: object.Name, UID: object.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
	}
	for ctx.Err() == nil {
		err := n.client.CoreV1().Pods(object.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// PID is the process of a Pod's container, to be stopped or killed by a test.
func (n *Node) PID(uid types.UID, container string) (int, error) {
	n.mu.Lock()
	known := n.pods[uid]
	n.mu.Unlock()
	if known == nil {
		return 0, errors.New("the node does not run this Pod")
	}
	return known.pid(container)
}

// address is the next address of the Pods' range. None is used twice, so that a stale one reaches nobody.
func (n *Node) address() (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.next.Next()
	if !netip.MustParsePrefix(podPrefix).Contains(next.Next()) {
		return next, errors.New("the Pods' addresses are used up")
	}
	n.next = next
	return next, nil
}

func (n *Node) register(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: nodeName, Labels: map[string]string{corev1.LabelHostname: nodeName, corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH},
	}}
	node, err := n.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	node.Spec.Taints = nil // every node starts with that of one that is not ready, which a DaemonSet heeds
	if node, err = n.client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	plenty := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100"), corev1.ResourceMemory: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("10000")}
	node.Status = corev1.NodeStatus{
		Capacity: plenty, Allocatable: plenty,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: hostIP}, {Type: corev1.NodeHostName, Address: nodeName}},
		NodeInfo:  corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: "v1.36.0-e2e"},
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: now, LastTransitionTime: now, Reason: "Running"}}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// renew keeps the node's Lease fresh; with a stale one all Pods would be declared unready.
func (n *Node) renew(ctx context.Context) {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for ctx.Err() == nil {
		name, seconds, now := nodeName, int32(40), metav1.NowMicro()
		fresh := coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now}
		lease, err := leases.Get(ctx, nodeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: nodeName}, Spec: fresh}, metav1.CreateOptions{})
		} else if err == nil {
			lease.Spec = fresh
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		}
		if err != nil {
			pause(ctx, time.Second)
		} else {
			pause(ctx, 10*time.Second)
		}
	}
}

func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

func veth(address netip.Addr) string {
	b := address.As4()
	return fmt.Sprintf("pod%d-%d", b[2], b[3])
}
