package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is one container of a Pod. The Pod's mutex guards what changes.
type container struct {
	pod  *pod
	spec *corev1.Container

	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	ready    bool
	begun    bool // it has run
	over     bool // it will not run again
	process  *process
}

// run runs the container's program, again if the Pod's restart policy says so.
func (c *container) run() {
	wait := 500 * time.Millisecond
	for {
		err := c.once()
		c.pod.mu.Lock()
		if err != nil {
			c.state = waiting("CreateContainerError", err.Error())
		}
		terminated := c.state.Terminated
		policy := c.pod.object.Spec.RestartPolicy
		c.over = doomed(c.pod) || terminated != nil && (policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && terminated.ExitCode == 0)
		over := c.over
		c.pod.mu.Unlock()
		c.pod.poke()
		if over {
			return
		}
		select {
		case <-c.pod.doomed:
			c.pod.mu.Lock()
			c.over = true
			c.pod.mu.Unlock()
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

func doomed(p *pod) bool {
	select {
	case <-p.doomed:
		return true
	default:
		return false
	}
}

// once runs the program until it ends.
func (c *container) once() error {
	command, err := c.pod.box.command(c.pod.node, c.pod.current(), c.spec)
	if err != nil {
		return err
	}
	c.pod.mu.Lock()
	if doomed(c.pod) {
		c.pod.mu.Unlock()
		return errors.New("the Pod ends")
	}
	process, err := startProcess(command, filepath.Join(c.pod.folder, c.spec.Name+".log"))
	if err != nil {
		c.pod.mu.Unlock()
		return err
	}
	started := metav1.Now()
	if c.begun {
		c.restarts++
	}
	c.process, c.begun, c.ready = process, true, c.spec.ReadinessProbe == nil
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
	c.pod.mu.Unlock()
	c.pod.poke()

	ctx, cancel := context.WithCancel(context.Background())
	go c.watch(ctx, c.spec.ReadinessProbe, func(good bool) {
		c.pod.mu.Lock()
		c.ready = good && c.process == process
		c.pod.mu.Unlock()
		c.pod.poke()
	})
	go c.watch(ctx, c.spec.LivenessProbe, func(good bool) {
		if !good {
			process.signal(syscall.SIGKILL)
		}
	})
	<-process.ended
	cancel()
	process.signal(syscall.SIGKILL) // what it left behind
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	ended := process.command.ProcessState.Sys().(syscall.WaitStatus)
	code := ended.ExitStatus()
	if ended.Signaled() {
		code = 128 + int(ended.Signal())
	}
	c.process, c.ready = nil, false
	c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: int32(code), StartedAt: started, FinishedAt: metav1.Now(), Reason: map[bool]string{true: "Completed", false: "Error"}[code == 0],
	}}
	c.last = c.state
	return nil
}

// stop ends the program as a kubelet does: the hook, SIGTERM, and SIGKILL when the grace period is over.
func (c *container) stop(grace time.Duration) {
	c.pod.mu.Lock()
	process := c.process
	c.pod.mu.Unlock()
	if process == nil {
		return
	}
	over := time.After(grace)
	if hooks := c.spec.Lifecycle; grace > 0 && hooks != nil && hooks.PreStop != nil && hooks.PreStop.Sleep != nil {
		select {
		case <-time.After(time.Duration(hooks.PreStop.Sleep.Seconds) * time.Second):
		case <-over:
		}
	}
	syscall.Kill(process.command.Process.Pid, syscall.SIGTERM)
	select {
	case <-process.ended:
	case <-over:
		process.kill()
	}
}

func (c *container) pid() (int, error) {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	if c.process == nil {
		return 0, errors.New("the container does not run")
	}
	return c.process.command.Process.Pid, nil
}

// status is called with the Pod's mutex held.
func (c *container) status() corev1.ContainerStatus {
	running := c.state.Running != nil
	return corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: fmt.Sprintf("process://%s-%d", c.spec.Name, c.restarts),
		RestartCount: c.restarts, State: c.state, LastTerminationState: c.last, Ready: running && c.ready, Started: &running,
	}
}

// command is a program in the sandbox.
func (b *box) command(node *Node, object *corev1.Pod, c *corev1.Container) (*exec.Cmd, error) {
	image, known := node.images[repository(c.Image)]
	if !known {
		return nil, fmt.Errorf("no program stands for image %s", c.Image)
	}
	return b.enter(node, object, c, image)
}
