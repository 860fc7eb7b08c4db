package cluster

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumes fills a folder for each volume of a Pod; they keep what is in them when the Pod starts.
func (p *pod) volumes(ctx context.Context, object *corev1.Pod) (map[string]string, error) {
	folders := map[string]string{}
	for _, volume := range object.Spec.Volumes {
		if volume.HostPath != nil {
			folders[volume.Name] = volume.HostPath.Path
			continue
		}
		folder := filepath.Join(p.folder, "volumes", volume.Name)
		folders[volume.Name] = folder
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		files, err := p.node.files(ctx, object, volume)
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", volume.Name, err)
		}
		if volume.EmptyDir != nil {
			if err := os.Chmod(folder, 0o777); err != nil {
				return nil, err
			}
		}
		for name, content := range files {
			path := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				return nil, err
			}
		}
	}
	return folders, nil
}

// files are the files of a volume.
func (n *Node) files(ctx context.Context, object *corev1.Pod, volume corev1.Volume) (map[string]string, error) {
	switch {
	case volume.EmptyDir != nil:
		return nil, nil
	case volume.Secret != nil:
		data, err := n.secret(ctx, object.Namespace, volume.Secret.SecretName, volume.Secret.Optional)
		return choose(data, volume.Secret.Items), err
	case volume.ConfigMap != nil:
		data, err := n.configMap(ctx, object.Namespace, volume.ConfigMap.Name, volume.ConfigMap.Optional)
		return choose(data, volume.ConfigMap.Items), err
	case volume.Projected != nil:
		return n.projected(ctx, object, volume.Projected.Sources)
	}
	return nil, fmt.Errorf("this kind of volume does not exist here")
}

func (n *Node) projected(ctx context.Context, object *corev1.Pod, sources []corev1.VolumeProjection) (map[string]string, error) {
	files := map[string]string{}
	for _, source := range sources {
		var more map[string]string
		var err error
		switch {
		case source.ConfigMap != nil:
			more, err = n.configMap(ctx, object.Namespace, source.ConfigMap.Name, source.ConfigMap.Optional)
			more = choose(more, source.ConfigMap.Items)
		case source.Secret != nil:
			more, err = n.secret(ctx, object.Namespace, source.Secret.Name, source.Secret.Optional)
			more = choose(more, source.Secret.Items)
		case source.ServiceAccountToken != nil:
			var token string
			token, err = n.token(ctx, object, source.ServiceAccountToken)
			more = map[string]string{source.ServiceAccountToken.Path: token}
		case source.DownwardAPI != nil:
			more = map[string]string{}
			for _, item := range source.DownwardAPI.Items {
				more[item.Path] = field(object, item.FieldRef.FieldPath, "")
			}
		}
		if err != nil {
			return nil, err
		}
		maps.Copy(files, more)
	}
	return files, nil
}

// token is a real token that is bound to the Pod.
func (n *Node) token(ctx context.Context, object *corev1.Pod, wanted *corev1.ServiceAccountTokenProjection) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: wanted.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: object.Name, UID: object.UID},
	}}
	if wanted.Audience != "" {
		request.Spec.Audiences = []string{wanted.Audience}
	}
	answer, err := n.client.CoreV1().ServiceAccounts(object.Namespace).CreateToken(ctx, object.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return answer.Status.Token, nil
}

func (n *Node) secret(ctx context.Context, namespace, name string, optional *bool) (map[string]string, error) {
	secret, err := n.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data, nil
}

func (n *Node) configMap(ctx context.Context, namespace, name string, optional *bool) (map[string]string, error) {
	found, err := n.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	return found.Data, nil
}

func unlessOptional(err error, optional *bool) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// choose takes the keys that a volume's items name, under the paths that they say; all without items.
func choose(data map[string]string, items []corev1.KeyToPath) map[string]string {
	if len(items) == 0 {
		return data
	}
	chosen := map[string]string{}
	for _, item := range items {
		if content, there := data[item.Key]; there {
			chosen[item.Path] = content
		}
	}
	return chosen
}

// environment is what a container finds in its environment.
func environment(ctx context.Context, n *Node, object *corev1.Pod, c *corev1.Container, address string) (map[string]string, error) {
	host, port := hostIP, strconv.Itoa(apiPort)
	if other := object.Annotations[APIServer]; other != "" {
		host, port, _ = strings.Cut(other, ":")
	}
	values := map[string]string{
		"PATH": "/usr/bin:/bin", "HOSTNAME": object.Name, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port,
	}
	for _, variable := range c.Env {
		switch from := variable.ValueFrom; {
		case from == nil:
			values[variable.Name] = expand(variable.Value, values)
		case from.FieldRef != nil:
			values[variable.Name] = field(object, from.FieldRef.FieldPath, address)
		case from.SecretKeyRef != nil:
			data, err := n.secret(ctx, object.Namespace, from.SecretKeyRef.Name, from.SecretKeyRef.Optional)
			if err != nil {
				return nil, err
			}
			values[variable.Name] = data[from.SecretKeyRef.Key]
		case from.ConfigMapKeyRef != nil:
			data, err := n.configMap(ctx, object.Namespace, from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Optional)
			if err != nil {
				return nil, err
			}
			values[variable.Name] = data[from.ConfigMapKeyRef.Key]
		}
	}
	return values, nil
}

// field is the value of a field that the downward API offers.
func field(object *corev1.Pod, path, address string) string {
	switch path {
	case "metadata.name":
		return object.Name
	case "metadata.namespace":
		return object.Namespace
	case "metadata.uid":
		return string(object.UID)
	case "spec.nodeName":
		return object.Spec.NodeName
	case "status.podIP":
		return address
	case "status.hostIP":
		return hostIP
	}
	return ""
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// expand replaces $(NAME) as Kubernetes does; unknown names stay.
func expand(text string, values map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if value, known := values[found[2:len(found)-1]]; known {
			return value
		}
		return found
	})
}
