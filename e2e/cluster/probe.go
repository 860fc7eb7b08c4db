package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probes has no kept connections: each probe is a new one, as a kubelet's is.
var probes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// watch runs a probe and tells each change of its verdict. There is nothing to do without a probe.
func (c *container) watch(ctx context.Context, probe *corev1.Probe, tell func(good bool)) {
	if probe == nil {
		return
	}
	wait := time.Duration(probe.InitialDelaySeconds) * time.Second
	good, bad := int32(0), int32(0)
	for {
		pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		if c.probe(ctx, probe) {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		switch {
		case good == max(probe.SuccessThreshold, 1):
			tell(true)
		case bad == max(probe.FailureThreshold, 1):
			tell(false)
		}
		wait = time.Duration(max(probe.PeriodSeconds, 1)) * time.Second
	}
}

func (c *container) probe(ctx context.Context, probe *corev1.Probe) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		address := fmt.Sprintf("http://%s:%d/%s", c.pod.box.address, c.port(probe.HTTPGet.Port), strings.TrimPrefix(probe.HTTPGet.Path, "/"))
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false
		}
		response, err := probes.Do(request)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode < 400
	case probe.TCPSocket != nil:
		return dials(fmt.Sprintf("%s:%d", c.pod.box.address, c.port(probe.TCPSocket.Port)))
	}
	return false
}

// port is a port by number or name.
func (c *container) port(port intstr.IntOrString) int {
	for _, named := range c.spec.Ports {
		if port.Type == intstr.String && named.Name == port.StrVal {
			return int(named.ContainerPort)
		}
	}
	if port.Type == intstr.String {
		number, _ := strconv.Atoi(port.StrVal)
		return number
	}
	return port.IntValue()
}
