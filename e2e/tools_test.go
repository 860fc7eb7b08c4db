package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is how long a test waits for what should take a second or two: the machine may be busy.
const patience = 60 * time.Second

// kubectl runs the real one as administrator and returns what it prints.
func kubectl(stdin string, args ...string) (string, error) {
	command := exec.Command(filepath.Join(*binFlag, "controlplane"), append([]string{"kubectl", "--kubeconfig", world.Kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	return output(command)
}

// helm runs Helm.
func helm(args ...string) (string, error) {
	command := exec.Command(filepath.Join(*binFlag, "helm"), append(args, "--kubeconfig", world.Kubeconfig)...)
	command.Env = append(command.Environ(), "HOME="+world.Dir)
	return output(command)
}

// chart is the folder of the chart.
func chart() string { return filepath.Join(repository, "charts", "ingora") }

func output(command *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// check ends the test when there is an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	if err := waitFor(what, patience, holds); err != nil {
		t.Fatal(err)
	}
}

func waitFor(what string, limit time.Duration, holds func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %s: %w", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond) // between looks; nothing depends on its length
	}
}

// during checks that something goes on to hold for a while.
func during(t *testing.T, what string, length time.Duration, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(length); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := holds(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// newNamespace makes a namespace that goes with the test.
func newNamespace(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	made, err := world.Client.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{})
	check(t, err)
	t.Cleanup(func() {
		// At once: no test depends on how its Pods end after it.
		now := int64(0)
		world.Client.CoreV1().Pods(made.Name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
		world.Client.CoreV1().Namespaces().Delete(ctx, made.Name, metav1.DeleteOptions{})
	})
	return made.Name
}

// apply applies manifests to a namespace.
func apply(t *testing.T, namespace, manifests string) {
	t.Helper()
	if _, err := kubectl(manifests, "apply", "--namespace", namespace, "--filename", "-"); err != nil {
		t.Fatal(err)
	}
}

var errNotYet = errors.New("not yet")
