// Package e2e holds what Ingora promises in a real cluster. e2e/run.sh builds what it needs and runs it.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ingora/e2e/cluster"
)

// The cluster, and the Ingora that most tests share: the chart with two replicas.
var (
	world  *cluster.Cluster
	shared *gateway
)

var (
	binFlag    = flag.String("bin", "", "folder with controlplane, sandbox, backend and helm")
	ingoraFlag = flag.String("ingora", "", "the binary under test")
	dirFlag    = flag.String("dir", "", "empty folder for logs and state")
	manyFlag   = flag.Bool("many", false, "also measure with 5,000 Ingresses")
)

const repository = ".."

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	images, err := images()
	if err == nil {
		world, err = cluster.Start(*dirFlag, *binFlag, images)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer world.Stop()
	// Kubernetes' conformance wants answers with a Server field; as in ingress-nginx there is none by default.
	shared, err = install("ingora", "ingora", "--set", "controller.replicaCount=2", "--set-string", "controller.config.server-tokens=true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// images are the programs behind the images of Pods. Ingora's runs as the Dockerfile says.
func images() (map[string]cluster.Image, error) {
	ingora, err := cluster.ReadDockerfile(filepath.Join(repository, "Dockerfile"), *ingoraFlag)
	if err != nil {
		return nil, err
	}
	backend := cluster.Image{
		Files:      map[string]string{"/backend": filepath.Join(*binFlag, "backend")},
		Entrypoint: []string{"/backend"}, User: 65532,
	}
	return map[string]cluster.Image{"ingora": ingora, "backend": backend, "registry.k8s.io/defaultbackend-amd64": backend}, nil
}
