package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Image is what a container image would hold and say.
type Image struct {
	Files      map[string]string // path in the image → file of this machine
	Entrypoint []string
	Command    []string
	User       int64
	// Libraries of this machine are visible: the program is linked to them.
	Libraries bool
}

// ReadDockerfile makes an image of a program as a Dockerfile says: its entry point, its arguments, its user.
func ReadDockerfile(path, program string) (Image, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Image{}, err
	}
	image := Image{Files: map[string]string{}, Libraries: true}
	words := regexp.MustCompile(`"([^"]*)"`)
	list := func(value string) (found []string) {
		for _, match := range words.FindAllStringSubmatch(value, -1) {
			found = append(found, match[1])
		}
		return found
	}
	for line := range strings.Lines(string(text)) {
		instruction, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch instruction {
		case "FROM":
			image.Entrypoint, image.Command, image.User = nil, nil, 0
		case "ENTRYPOINT":
			image.Entrypoint = list(value)
		case "CMD":
			image.Command = list(value)
		case "USER":
			user, _, _ := strings.Cut(value, ":")
			if image.User, err = strconv.ParseInt(user, 10, 64); err != nil {
				return image, fmt.Errorf("%s: USER %s: want a number, so that runAsNonRoot can be checked", path, value)
			}
		}
	}
	if len(image.Entrypoint) == 0 {
		return image, fmt.Errorf("%s has no ENTRYPOINT", path)
	}
	program, err = filepath.Abs(program)
	image.Files[image.Entrypoint[0]] = program
	return image, err
}

// repository is an image's name without tag and digest.
func repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}
