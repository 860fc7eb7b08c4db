package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"ingora/e2e/cluster/spec"
)

// box is a Pod's sandbox: a process that holds its network and its root file system.
type box struct {
	address string
	holder  *exec.Cmd
	stdin   io.Closer
}

// libraries of this machine that a dynamically linked program needs.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ssl", "/etc/ld.so.cache"}

// devices that every container has.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// openBox makes volumes, root file system and network.
func (p *pod) openBox(ctx context.Context) (_ *box, err error) {
	object := p.current()
	wanted, err := p.layout(ctx, object)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	command := exec.Command(p.node.sandbox, "hold")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setpgid: true}
	if !object.Spec.HostNetwork {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	var problems bytes.Buffer
	command.Stderr = &problems
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	b := &box{address: hostIP, holder: command, stdin: stdin}
	defer func() {
		if err != nil {
			b.close()
			err = fmt.Errorf("%w %s", err, problems.String())
		}
	}()
	if _, err := stdin.Write(append(input, '\n')); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the sandbox does not start: %w", err)
	}
	if object.Spec.HostNetwork {
		return b, nil
	}
	address, err := p.node.address()
	if err != nil {
		return nil, err
	}
	b.address = address.String()
	return b, b.connect(veth(address))
}

// connect gives the sandbox its address on the bridge.
func (b *box) connect(name string) error {
	pid := strconv.Itoa(b.holder.Process.Pid)
	if err := ip("link add " + name + " master " + bridge + " up type veth peer name eth0 netns " + pid); err != nil {
		return err
	}
	inside := exec.Command("nsenter", "--net=/proc/"+pid+"/ns/net", "ip", "-batch", "-")
	inside.Stdin = strings.NewReader("link set lo up\nlink set eth0 up\naddr add " + b.address + "/16 dev eth0\nroute add default via " + hostIP + "\n")
	if output, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, output)
	}
	return nil
}

// close ends the sandbox; the kernel takes namespaces and links away.
func (b *box) close() {
	b.stdin.Close()
	b.holder.Process.Kill()
	b.holder.Wait() // it was killed: how it ended tells nothing
}

// layout is the root file system that the Pod's containers share.
func (p *pod) layout(ctx context.Context, object *corev1.Pod) (spec.Pod, error) {
	wanted := spec.Pod{Root: filepath.Join(p.folder, "root"), ReadOnlyRoot: true, Sysctls: map[string]string{}}
	if err := os.MkdirAll(wanted.Root, 0o755); err != nil {
		return wanted, err
	}
	bind := func(source string, readOnly bool) {
		if _, err := os.Lstat(source); err == nil {
			wanted.Binds = append(wanted.Binds, spec.Bind{Source: source, Target: source, ReadOnly: readOnly, KeepLink: true})
		}
	}
	bind("/proc", false)
	for _, device := range devices {
		bind(device, false)
	}
	bind("/etc/resolv.conf", true)
	bind("/etc/hosts", true)
	volumes, err := p.volumes(ctx, object)
	if err != nil {
		return wanted, err
	}
	for _, c := range object.Spec.Containers {
		image := p.node.images[repository(c.Image)]
		if image.Libraries {
			for _, library := range libraries {
				bind(library, false)
			}
		}
		for target, source := range image.Files {
			wanted.Binds = append(wanted.Binds, spec.Bind{Source: source, Target: target})
		}
		for _, mount := range c.VolumeMounts {
			wanted.Binds = append(wanted.Binds, spec.Bind{
				Source: filepath.Join(volumes[mount.Name], mount.SubPath), Target: mount.MountPath, ReadOnly: mount.ReadOnly,
			})
		}
		context := c.SecurityContext
		wanted.ReadOnlyRoot = wanted.ReadOnlyRoot && context != nil && context.ReadOnlyRootFilesystem != nil && *context.ReadOnlyRootFilesystem
	}
	if context := object.Spec.SecurityContext; context != nil {
		for _, sysctl := range context.Sysctls {
			wanted.Sysctls[strings.ReplaceAll(sysctl.Name, ".", "/")] = sysctl.Value
		}
	}
	return wanted, nil
}

// enter is a container's program with its arguments, environment and rights.
func (b *box) enter(node *Node, object *corev1.Pod, c *corev1.Container, image Image) (*exec.Cmd, error) {
	values, err := environment(context.Background(), node, object, c, b.address)
	if err != nil {
		return nil, err
	}
	argv := image.Entrypoint
	arguments := image.Command
	if len(c.Command) > 0 {
		argv, arguments = c.Command, nil
	}
	if len(c.Args) > 0 {
		arguments = c.Args
	}
	wanted := spec.Container{Directory: "/", User: image.User}
	if c.WorkingDir != "" {
		wanted.Directory = c.WorkingDir
	}
	for name, value := range values {
		wanted.Environment = append(wanted.Environment, name+"="+value)
	}
	if err := restrict(&wanted, object.Spec.SecurityContext, c.SecurityContext); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	command := exec.Command(node.sandbox, "enter", strconv.Itoa(b.holder.Process.Pid))
	for _, argument := range append(append([]string{}, argv...), arguments...) {
		command.Args = append(command.Args, expand(argument, values))
	}
	command.Env = []string{spec.ContainerVariable + "=" + string(encoded)}
	return command, nil
}

// restrict takes over the security contexts of Pod and container.
func restrict(wanted *spec.Container, pod *corev1.PodSecurityContext, c *corev1.SecurityContext) error {
	nonRoot := false
	take := func(user, group *int64, not *bool) {
		if user != nil {
			wanted.User = *user
		}
		if group != nil {
			wanted.Group = *group
		}
		if not != nil {
			nonRoot = *not
		}
	}
	wanted.Capabilities = []string{"NET_BIND_SERVICE", "NET_RAW", "CHOWN"}
	if pod != nil {
		take(pod.RunAsUser, pod.RunAsGroup, pod.RunAsNonRoot)
	}
	if c != nil {
		take(c.RunAsUser, c.RunAsGroup, c.RunAsNonRoot)
		wanted.NoNewPrivileges = c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation
		if c.Capabilities != nil {
			if len(c.Capabilities.Drop) > 0 {
				wanted.Capabilities = nil
			}
			for _, name := range c.Capabilities.Add {
				wanted.Capabilities = append(wanted.Capabilities, string(name))
			}
		}
	}
	if nonRoot && wanted.User == 0 {
		return fmt.Errorf("runAsNonRoot is set and the user is root")
	}
	return nil
}
