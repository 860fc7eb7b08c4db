package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestARestartWithoutAnAPIServerServesTheLastGoodState(t *testing.T) {
	namespace := newNamespace(t)
	g, class := installFor(t, namespace, "--set", "controller.extraArgs.state-dir=/state")
	newBackend(t, namespace, "shop", 1).ready(t)
	newIngressOf(t, class, namespace, "shop.example", "shop")
	g.serves(t, "http://shop.example/", 200)
	pods, err := g.pods()
	check(t, err)
	pod := pods[0]
	folder := filepath.Join(world.Dir, "pods", pod.Namespace+"_"+pod.Name, "volumes", "state")
	eventually(t, "the state with the change is on disk", func() error {
		files, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(folder, file.Name()))
			if err == nil && bytes.Contains(text, []byte("shop.example")) {
				return nil
			}
		}
		return errNotYet
	})
	first, err := world.Node.PID(pod.UID, "controller")
	check(t, err)
	world.StopAPIServer()
	defer func() { check(t, world.StartAPIServer()) }()
	check(t, syscall.Kill(first, syscall.SIGKILL))
	var started time.Time
	eventually(t, "the container runs again", func() error {
		pid, err := world.Node.PID(pod.UID, "controller")
		if err == nil && pid == first {
			err = errNotYet
		}
		started = time.Now()
		return err
	})
	eventually(t, "it serves", func() error {
		a, err := send(client(pod.Status.PodIP), "GET", "http://shop.example/")
		if err == nil && a.StatusCode != 200 {
			err = errNotYet
		}
		return err
	})
	t.Logf("served %s after its start", time.Since(started).Round(time.Millisecond))
	if a, err := send(client(pod.Status.PodIP), "GET", "http://gateway:10254/readyz"); err != nil || a.StatusCode != 200 {
		t.Errorf("ready? %v %v", a, err)
	}
}
