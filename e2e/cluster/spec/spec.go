// Package spec is what the node tells the sandbox.
package spec

// ContainerVariable is the environment variable that holds a Container as JSON.
const ContainerVariable = "E2E_CONTAINER"

// Pod is what the containers of a Pod share.
type Pod struct {
	Root         string // an empty folder that becomes the root file system
	ReadOnlyRoot bool
	Binds        []Bind            // in the order in which they are attached
	Sysctls      map[string]string // by path below /proc/sys
}

// Bind makes Source of this machine appear as Target of the Pod.
type Bind struct {
	Source, Target string
	ReadOnly       bool
	KeepLink       bool // if Source is a symbolic link, so is Target
}

// Container is how a program runs.
type Container struct {
	Environment     []string
	Directory       string
	User, Group     int64
	Capabilities    []string // the bounding set
	NoNewPrivileges bool
}
