// Command sandbox stands for a container runtime: "hold" makes a Pod's root file system and keeps its namespaces, "enter"
// starts a program in it with the user and capabilities that its security context leaves. What runs sees what its image
// would hold, not this machine; what the chart drops is dropped.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ingora/e2e/cluster/spec"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "hold":
		err = hold()
	case len(os.Args) >= 4 && os.Args[1] == "enter":
		err = enter(os.Args[2], os.Args[3:])
	default:
		err = fmt.Errorf("usage: sandbox hold < SPEC, sandbox enter PID PROGRAM ARGUMENTS...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// hold reads one line of JSON, builds the root file system, prints a line and waits until its standard input closes.
func hold() error {
	var pod spec.Pod
	input := json.NewDecoder(os.Stdin)
	if err := input.Decode(&pod); err != nil {
		return err
	}
	if err := build(pod); err != nil {
		return err
	}
	for name, value := range pod.Sysctls {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			return err
		}
	}
	if err := syscall.Chroot(pod.Root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func build(pod spec.Pod) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", pod.Root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for _, bind := range pod.Binds {
		if err := attach(pod.Root, bind); err != nil {
			return fmt.Errorf("%s: %w", bind.Target, err)
		}
	}
	if pod.ReadOnlyRoot {
		return unix.Mount("", pod.Root, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

// attach makes a file or folder of this machine appear in the root. A link, such as /lib on most systems, becomes a link.
func attach(root string, bind spec.Bind) error {
	target := filepath.Join(root, bind.Target)
	info, err := os.Lstat(bind.Source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0 && bind.KeepLink:
		where, err := os.Readlink(bind.Source)
		if err != nil {
			return err
		}
		return os.Symlink(where, target)
	case info.IsDir():
		err = os.MkdirAll(target, 0o755)
	default:
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(bind.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if bind.ReadOnly {
		return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

// enter becomes a program in the sandbox of a process. The spec of the container is in the environment.
func enter(pid string, argv []string) error {
	if _, err := strconv.Atoi(pid); err != nil {
		return err
	}
	var container spec.Container
	if err := json.Unmarshal([]byte(os.Getenv(spec.ContainerVariable)), &container); err != nil {
		return err
	}
	runtime.LockOSThread() // namespaces and capabilities are the thread's, and execve keeps this thread's
	network, err := os.Open("/proc/" + pid + "/ns/net")
	if err != nil {
		return err
	}
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := syscall.Chroot("/proc/" + pid + "/root"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := os.Chdir(container.Directory); err != nil {
		return err
	}
	if err := drop(container); err != nil {
		return err
	}
	return syscall.Exec(argv[0], argv, container.Environment)
}

// drop gives up what the security context takes away. As with containerd, a user that is not root keeps no capability at
// all, because none is ambient: NET_BIND_SERVICE helps only root.
func drop(container spec.Container) error {
	keep := map[uintptr]bool{}
	for _, name := range container.Capabilities {
		number, known := capabilities[name]
		if !known && name != "ALL" {
			return fmt.Errorf("capability %s is not known here", name)
		}
		keep[number] = true
	}
	for number := uintptr(0); number <= unix.CAP_LAST_CAP; number++ {
		if !keep[number] {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0); err != nil && err != unix.EINVAL {
				return fmt.Errorf("capability %d: %w", number, err)
			}
		}
	}
	if container.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("groups: %w", errno)
	}
	group, user := uintptr(container.Group), uintptr(container.User)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, group, group, group); errno != 0 {
		return fmt.Errorf("group: %w", errno)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, user, user, user); errno != 0 {
		return fmt.Errorf("user: %w", errno)
	}
	return nil
}

// capabilities that containers here ask for.
var capabilities = map[string]uintptr{
	"NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"NET_RAW":          unix.CAP_NET_RAW,
	"CHOWN":            unix.CAP_CHOWN,
}
