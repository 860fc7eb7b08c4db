package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingora/e2e/cluster"
)

// render renders the chart with the values of a file and further flags.
func render(flags ...string) (string, error) {
	return helm(append([]string{"template", "release", chart(), "--namespace", "edge"}, flags...)...)
}

func values(name string) string { return filepath.Join("testdata", name) }

func TestTheChartIsSound(t *testing.T) {
	for _, file := range []string{"", "everything.yaml", "ingress-nginx.yaml", "namespaced.yaml"} {
		flags := []string{"lint", "--strict", chart()}
		if file != "" {
			flags = append(flags, "--values", values(file))
		}
		if text, err := helm(flags...); err != nil {
			t.Errorf("%s: %s %v", file, text, err)
		}
	}
}

// The API server checks every field of every object, in the namespace where they would be.
func TestTheAPIServerAcceptsWhatTheChartRenders(t *testing.T) {
	for _, namespace := range []string{"edge", "shop"} {
		_, err := kubectl("", "create", "namespace", namespace)
		check(t, err)
	}
	foreign := regexp.MustCompile(`(?m)^apiVersion: (monitoring\.coreos\.com|cert-manager\.io|keda\.sh)/`)
	for name, flags := range map[string][]string{
		"defaults":      nil,
		"everything":    {"--values", values("everything.yaml")},
		"ingress-nginx": {"--values", values("ingress-nginx.yaml")},
		"namespaced":    {"--values", values("namespaced.yaml")},
		"daemon set":    {"--set", "controller.kind=DaemonSet,controller.hostNetwork=true"},
		"autoscaling":   {"--set", "controller.autoscaling.enabled=true,controller.autoscaling.minReplicas=3"},
		"no roles":      {"--set", "rbac.create=false,serviceAccount.create=false,controller.ingressClassResource.enabled=false"},
		"node port":     {"--set", "controller.service.type=NodePort,controller.service.nodePorts.http=30080"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := render(flags...)
			check(t, err)
			var known []string
			for _, object := range strings.Split(text, "\n---\n") {
				if !foreign.MatchString(object) { // those APIs are not in this cluster
					known = append(known, object)
				}
			}
			_, err = kubectl(strings.Join(known, "\n---\n"), "apply", "--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict", "--filename", "-")
			check(t, err)
		})
	}
}

func TestTheBinaryKnowsEveryFlagThatTheChartRenders(t *testing.T) {
	help, err := output(exec.Command(*ingoraFlag, "run", "--help"))
	check(t, err)
	rendered := regexp.MustCompile(`(?m)^ +- --([a-z0-9-]+)`)
	for _, file := range []string{"everything.yaml", "ingress-nginx.yaml", "namespaced.yaml"} {
		text, err := render("--values", values(file))
		check(t, err)
		found := rendered.FindAllStringSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s: no flag is rendered", file)
		}
		for _, flag := range found {
			if !regexp.MustCompile(`(?m)^ +--` + flag[1] + `\b`).MatchString(help) {
				t.Errorf("%s: ingora run has no --%s", file, flag[1])
			}
		}
	}
}

func TestAValuesFileOfIngressNginxCarriesOver(t *testing.T) {
	text, err := render("--values", values("ingress-nginx.yaml"))
	check(t, err)
	for _, want := range []string{
		"--controller-class=k8s.io/ingress-nginx", "--ingress-class=nginx", "--default-ssl-certificate=edge/fallback",
		"path: /readyz", "kind: DaemonSet", "proxy-body-size: \"8m\"",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not rendered", want)
		}
	}
	for _, not := range []string{"wait-shutdown", "ingress-nginx/controller", "--enable-metrics"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is rendered", not)
		}
	}
}

func TestTheChartRefusesWithAWordWhatItCannotMean(t *testing.T) {
	for flag, want := range map[string]string{
		"controller.replicaConut=2":                                        "additional properties 'replicaConut' not allowed",
		"controller.extraArgs.no-such-flag=1":                              "ingora has no flag --no-such-flag",
		"controller.image.image=ingress-nginx/controller":                  "names the image of ingress-nginx",
		"controller.kind=StatefulSet":                                      "controller/kind",
		"rbac.scope=true":                                                  "set controller.scope.enabled",
		"controller.keda.enabled=true,controller.autoscaling.enabled=true": "two autoscalers",
	} {
		if _, err := render("--set", flag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flag, err, want)
		}
	}
}

func TestDeployIsCurrent(t *testing.T) {
	fresh := t.TempDir()
	_, err := output(exec.Command("./manifests.sh", fresh))
	check(t, err)
	files, err := filepath.Glob(filepath.Join(repository, "deploy", "*.yaml"))
	check(t, err)
	if len(files) == 0 {
		t.Fatal("deploy/ is empty")
	}
	for _, file := range files {
		committed, err := os.ReadFile(file)
		check(t, err)
		rendered, err := os.ReadFile(filepath.Join(fresh, filepath.Base(file)))
		check(t, err)
		if string(committed) != string(rendered) {
			t.Errorf("%s is not what the chart renders; make manifests rewrites it", file)
		}
	}
}

// Not only accepted: it runs. In the node's network it is root with one capability.
func TestManifestsThatAreAppliedServe(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "deploy", "cloud.yaml"))
	check(t, err)
	// Under another name than the shared gateway's.
	manifests := strings.NewReplacer(
		"namespace: ingora", "namespace: plain", "name: ingora\n", "name: plain\n", "serviceAccountName: ingora\n", "serviceAccountName: plain\n", "ingora-controller", "plain-controller",
		"ingora.io/ingress-controller", "e2e/plain", "--ingress-class=ingora", "--ingress-class=plain",
		"shutdown-grace-period=20s", "shutdown-grace-period=1s",
	).Replace(string(text))
	apply(t, "plain", manifests)
	t.Cleanup(func() { kubectl(manifests, "delete", "--wait=false", "--filename", "-") })
	g := &gateway{"plain", "ingora", "plain-controller"}
	eventually(t, "the gateway is ready", g.ready)
	namespace := newNamespace(t)
	newBackend(t, namespace, "shop", 1).ready(t)
	newIngressOf(t, "plain", namespace, namespace+".example", "shop")
	g.serves(t, "http://"+namespace+".example/", 200)
}

func TestTheDocumentationNamesEveryValueWithoutEffect(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart(), "values.schema.json"))
	check(t, err)
	page, err := os.ReadFile(filepath.Join(repository, "docs", "install.md"))
	check(t, err)
	type schema struct {
		Comment    string             `json:"$comment"`
		Properties map[string]*schema `json:"properties"`
	}
	root := new(schema)
	check(t, json.Unmarshal(text, root))
	count := 0
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		if why, idle := strings.CutPrefix(s.Comment, "no effect: "); idle {
			count++
			if row := "| `" + path + "` | " + why + " |\n"; !strings.Contains(string(page), row) {
				t.Errorf("docs/install.md lacks %s", row)
			}
		}
		for name, property := range s.Properties {
			walk(strings.TrimPrefix(path+"."+name, "."), property)
		}
	}
	walk("", root)
	if count == 0 {
		t.Error("no value is without effect")
	}
}

// What the chart tells Kubernetes about the image is what the Dockerfile makes.
func TestTheChartFitsTheImage(t *testing.T) {
	image, err := cluster.ReadDockerfile(filepath.Join(repository, "Dockerfile"), *ingoraFlag)
	check(t, err)
	text, err := render()
	check(t, err)
	for _, want := range []string{
		fmt.Sprintf("runAsUser: %d\n", image.User), "- " + image.Command[0] + "\n", "image: ingora:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the chart does not render %q", want)
		}
	}
	dockerfile, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	check(t, err)
	exposed := regexp.MustCompile(`(?m)^EXPOSE (.*)$`).FindStringSubmatch(string(dockerfile))
	for _, port := range strings.Fields(exposed[1]) {
		if !strings.Contains(text, "containerPort: "+port+"\n") {
			t.Errorf("the image exposes %s and the chart has no such port", port)
		}
	}
}
