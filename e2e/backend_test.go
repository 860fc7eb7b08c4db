package e2e

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// backend is a Deployment of cmd backend behind a Service of the same name: port 8080, called http.
type backend struct{ namespace, name string }

// newBackend makes a backend; env holds NAME, VALUE pairs of its environment.
func newBackend(t *testing.T, namespace, name string, replicas int32, env ...string) *backend {
	t.Helper()
	ctx := context.Background()
	labels := map[string]string{"app": name}
	container := corev1.Container{
		Name: "backend", Image: "backend:1",
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		Env:            []corev1.EnvVar{{Name: "SERVICE", Value: name}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}, PeriodSeconds: 1, FailureThreshold: 1},
	}
	for i := 0; i+1 < len(env); i += 2 {
		container.Env = append(container.Env, corev1.EnvVar{Name: env[i], Value: env[i+1]})
	}
	grace := int64(10)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{container}, TerminationGracePeriodSeconds: &grace},
			},
		},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromString("http")}}},
	}
	_, err := world.Client.AppsV1().Deployments(namespace).Create(ctx, deployment, metav1.CreateOptions{})
	check(t, err)
	_, err = world.Client.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{})
	check(t, err)
	return &backend{namespace, name}
}

// ready waits until as many Pods are ready as the Deployment wants, all of its newest version.
func (b *backend) ready(t *testing.T) {
	t.Helper()
	eventually(t, b.name+" is rolled out", func() error {
		deployment, err := world.Client.AppsV1().Deployments(b.namespace).Get(context.Background(), b.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want, s := *deployment.Spec.Replicas, deployment.Status
		if s.ObservedGeneration < deployment.Generation || s.UpdatedReplicas != want || s.ReadyReplicas != want || s.Replicas != want {
			return fmt.Errorf("%d of %d Pods are ready, %d new, %d in all", s.ReadyReplicas, want, s.UpdatedReplicas, s.Replicas)
		}
		return nil
	})
}

// patch changes the Deployment.
func (b *backend) patch(t *testing.T, merge string) {
	t.Helper()
	_, err := world.Client.AppsV1().Deployments(b.namespace).Patch(context.Background(), b.name, types.StrategicMergePatchType, []byte(merge), metav1.PatchOptions{})
	check(t, err)
}

// scale sets the number of Pods.
func (b *backend) scale(t *testing.T, replicas int) {
	t.Helper()
	b.patch(t, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// roll replaces all Pods.
func (b *backend) roll(t *testing.T, version int) {
	t.Helper()
	b.patch(t, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"version":"%d"}}}}}`, version))
}

// pods are the backend's Pods that are not ending.
func (b *backend) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := world.Client.CoreV1().Pods(b.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "app=" + b.name})
	check(t, err)
	alive := list.Items[:0]
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			alive = append(alive, pod)
		}
	}
	return alive
}

// annotate sets an annotation of a Pod; an empty value removes it.
func annotate(t *testing.T, pod corev1.Pod, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	if value == "" {
		patch = fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, name)
	}
	_, err := world.Client.CoreV1().Pods(pod.Namespace).Patch(context.Background(), pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	check(t, err)
}

// newIngress makes an Ingress of the shared gateway's class: a host, all of whose paths go to a Service.
func newIngress(t *testing.T, namespace, host, service string) {
	t.Helper()
	newIngressOf(t, "ingora", namespace, host, service)
}

func newIngressOf(t *testing.T, class, namespace, host, service string) {
	t.Helper()
	prefix := networkingv1.PathTypePrefix
	target := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Name: "http"}}}
	object := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: target}},
			}},
		}}},
	}
	_, err := world.Client.NetworkingV1().Ingresses(namespace).Create(context.Background(), object, metav1.CreateOptions{})
	check(t, err)
}
