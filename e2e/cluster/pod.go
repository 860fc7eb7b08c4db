package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is a Pod on the node, from its start to its end.
type pod struct {
	node    *Node
	folder  string
	started metav1.Time
	wake    chan struct{} // something may have to be reported
	gone    chan struct{} // the API server no longer has it
	doomed  chan struct{} // it is being deleted: nothing restarts

	mu         sync.Mutex
	object     *corev1.Pod
	box        *box
	problem    string // why there is no box
	containers []*container
	since      map[corev1.PodConditionType]corev1.PodCondition
}

func newPod(node *Node, object *corev1.Pod) *pod {
	p := &pod{
		node: node, object: object, started: metav1.Now(),
		folder: filepath.Join(node.folder, object.Namespace+"_"+object.Name),
		wake:   make(chan struct{}, 1), gone: make(chan struct{}), doomed: make(chan struct{}),
		since: map[corev1.PodConditionType]corev1.PodCondition{},
	}
	for i := range object.Spec.Containers {
		p.containers = append(p.containers, &container{pod: p, spec: &object.Spec.Containers[i], state: waiting("ContainerCreating", "")})
	}
	return p
}

func (p *pod) update(object *corev1.Pod) {
	p.mu.Lock()
	p.object = object
	p.mu.Unlock()
	p.poke()
}

func (p *pod) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pod) current() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.object
}

// run is the Pod's life. It returns when all of its processes have ended.
func (p *pod) run(ctx context.Context) {
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.gone: // deleted by force
			cancel()
		case <-ctx.Done():
		}
	}()
	if p.open(ctx) {
		defer p.box.close()
		p.live(ctx)
	}
	if ctx.Err() == nil {
		p.remove(ctx)
	}
}

// open makes the sandbox. What it mounts may appear later, so it tries until the Pod is deleted.
func (p *pod) open(ctx context.Context) bool {
	for p.current().DeletionTimestamp == nil && ctx.Err() == nil {
		box, err := p.openBox(ctx)
		p.mu.Lock()
		p.box, p.problem = box, ""
		if err != nil {
			p.problem = err.Error()
		}
		p.mu.Unlock()
		if err == nil {
			return true
		}
		p.report(ctx, nil)
		pause(ctx, 300*time.Millisecond)
	}
	return false
}

// live runs the containers and reports until they have ended.
func (p *pod) live(ctx context.Context) {
	var running sync.WaitGroup
	for _, c := range p.containers {
		running.Go(c.run)
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	var reported *corev1.PodStatus
	stopping := false
	stop := func(grace time.Duration) {
		if !stopping {
			close(p.doomed)
			stopping = true
		}
		for _, c := range p.containers {
			go c.stop(grace)
		}
	}
	for {
		if object := p.current(); object.DeletionTimestamp != nil && !stopping {
			grace := time.Duration(0)
			if seconds := object.DeletionGracePeriodSeconds; seconds != nil {
				grace = time.Duration(*seconds) * time.Second
			}
			stop(grace)
		}
		reported = p.report(ctx, reported)
		select {
		case <-p.wake:
		case <-ended:
			p.report(ctx, reported)
			if stopping {
				return
			}
			ended = nil // a Pod that has run to its end stays until it is deleted
		case <-ctx.Done():
			stop(0)
			running.Wait()
			return
		}
		if ended == nil && p.current().DeletionTimestamp != nil {
			return
		}
	}
}

// remove is the kubelet's last act in a graceful deletion.
func (p *pod) remove(ctx context.Context) {
	object := p.current()
	now := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(object.UID))}
	for ctx.Err() == nil {
		err := p.node.client.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, options)
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (p *pod) pid(name string) (int, error) {
	for _, c := range p.containers {
		if c.spec.Name == name {
			return c.pid()
		}
	}
	return 0, errors.New("no container " + name)
}

// report writes the status if it differs from the one that was written last, which it returns.
func (p *pod) report(ctx context.Context, last *corev1.PodStatus) *corev1.PodStatus {
	status := p.status()
	if reflect.DeepEqual(status, last) || ctx.Err() != nil {
		return last
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.current().UID}, "status": status})
	if err == nil {
		object := p.current()
		_, err = p.node.client.CoreV1().Pods(object.Namespace).Patch(ctx, object.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil && !apierrors.IsNotFound(err) {
		time.AfterFunc(100*time.Millisecond, p.poke) // once more
		return last
	}
	return status
}

// status is what the Pod's containers amount to.
func (p *pod) status() *corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := &corev1.PodStatus{StartTime: &p.started, HostIP: hostIP, HostIPs: []corev1.HostIP{{IP: hostIP}}}
	if p.box != nil {
		status.PodIP = p.box.address
		status.PodIPs = []corev1.PodIP{{IP: p.box.address}}
	}
	ready, begun, over, failed := true, true, true, false
	for _, c := range p.containers {
		told := c.status()
		told.Ready = told.Ready && p.object.Annotations[Unready] == ""
		status.ContainerStatuses = append(status.ContainerStatuses, told)
		ready = ready && told.Ready
		begun = begun && c.begun
		over = over && c.over
		failed = failed || told.State.Terminated != nil && told.State.Terminated.ExitCode != 0
	}
	switch {
	case !begun:
		status.Phase = corev1.PodPending
	case over && failed:
		status.Phase = corev1.PodFailed
	case over:
		status.Phase = corev1.PodSucceeded
	default:
		status.Phase = corev1.PodRunning
	}
	status.Conditions = []corev1.PodCondition{
		p.condition(corev1.PodReadyToStartContainers, p.box != nil, p.problem),
		p.condition(corev1.PodInitialized, true, ""),
		p.condition(corev1.ContainersReady, ready, ""),
		p.condition(corev1.PodReady, ready, ""),
	}
	return status
}

// condition is a condition; its time is that of its last change.
func (p *pod) condition(kind corev1.PodConditionType, holds bool, message string) corev1.PodCondition {
	condition := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Message: message, LastTransitionTime: metav1.Now()}
	if holds {
		condition.Status = corev1.ConditionTrue
	}
	if last, known := p.since[kind]; known && last.Status == condition.Status {
		condition.LastTransitionTime = last.LastTransitionTime
	}
	p.since[kind] = condition
	return condition
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}
