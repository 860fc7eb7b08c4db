package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a program whose output goes to a file.
type process struct {
	command *exec.Cmd
	log     string
	ended   chan struct{}
}

// startProcess starts a program that dies with this one.
func startProcess(command *exec.Cmd, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command, log, make(chan struct{})}
	go func() {
		command.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// waitFor waits until a condition holds, and fails when the process ends first.
func (p *process) waitFor(what string, holds func() bool) error {
	for deadline := time.Now().Add(startTime); !holds(); {
		select {
		case <-p.ended:
			return fmt.Errorf("%s: %s; see %s", what, p.command.ProcessState, p.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not there after %s; see %s", what, startTime, p.log)
		}
	}
	return nil
}

func (p *process) signal(signal syscall.Signal) { syscall.Kill(-p.command.Process.Pid, signal) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}
