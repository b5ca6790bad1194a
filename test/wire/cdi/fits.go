package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	oci "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var (
	gpuNode = regexp.MustCompile(`^/dev/nvidia[0-9]+$`)
	control = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"}
	// What a container cannot do without; update-ldcache makes the libraries known to its loader.
	hooks = []string{"create-symlinks", "update-ldcache"}
)

// fits tells whether a container made from `spec` has these GPUs, no other, and the driver.
func (w *world) fits(spec *oci.Spec, devices []string) error {
	for _, check := range []func(*oci.Spec) error{
		func(s *oci.Spec) error { return w.hasNodes(s, devices) }, w.hasRules, w.hasMounts, w.hasHooks, hasEnv,
	} {
		if err := check(spec); err != nil {
			return err
		}
	}
	return nil
}

// Device gpu-N is /dev/nvidiaN: the name carries the minor number.
func (w *world) hasNodes(spec *oci.Spec, devices []string) error {
	var want, have, all []string
	for _, d := range devices {
		want = append(want, "/dev/nvidia"+strings.TrimPrefix(d, "gpu-"))
	}
	for _, n := range spec.Linux.Devices {
		all = append(all, n.Path)
		if gpuNode.MatchString(n.Path) {
			have = append(have, n.Path)
		}
		var st unix.Stat_t
		if err := unix.Stat(w.root+n.Path, &st); err != nil {
			return fmt.Errorf("%s is not on the host: %w", n.Path, err)
		}
		if n.Type != "c" || n.Major != int64(unix.Major(st.Rdev)) || n.Minor != int64(unix.Minor(st.Rdev)) {
			return fmt.Errorf("%s is %s %d:%d, on the host %d:%d", n.Path, n.Type, n.Major, n.Minor, unix.Major(st.Rdev),
				unix.Minor(st.Rdev))
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if want = slices.Compact(want); !slices.Equal(have, want) {
		return fmt.Errorf("GPU nodes %v, wanted %v", have, want)
	}
	for _, path := range control {
		if !slices.Contains(all, path) {
			return fmt.Errorf("no %s", path)
		}
	}
	slices.Sort(all)
	if n := len(all); len(slices.Compact(all)) != n {
		return fmt.Errorf("a node comes twice: %v", all)
	}
	return nil
}

// hasRules: the cgroup lets the container use each node.
func (w *world) hasRules(spec *oci.Spec) error {
	for _, n := range spec.Linux.Devices {
		if !slices.ContainsFunc(spec.Linux.Resources.Devices, func(r oci.LinuxDeviceCgroup) bool {
			return r.Allow && r.Type == n.Type && r.Major != nil && *r.Major == n.Major && r.Minor != nil &&
				*r.Minor == n.Minor && r.Access == "rwm"
		}) {
			return fmt.Errorf("the cgroup has no rule for %s", n.Path)
		}
	}
	return nil
}

func (w *world) hasMounts(spec *oci.Spec) error {
	seen := map[string]bool{}
	for _, m := range spec.Mounts {
		st, err := os.Stat(m.Source)
		if err != nil {
			return err
		}
		if m.Source != w.root+m.Destination && !strings.HasPrefix(m.Destination, "/lib/firmware/") {
			return fmt.Errorf("mount of %s at %s", m.Source, m.Destination)
		}
		if seen[m.Destination] {
			return fmt.Errorf("two mounts at %s", m.Destination)
		}
		seen[m.Destination] = true
		wanted := []string{"nosuid", "nodev", "rbind"}
		if st.Mode().IsRegular() && !strings.HasPrefix(m.Destination, "/run/") {
			wanted = append(wanted, "ro")
		}
		for _, o := range wanted {
			if !slices.Contains(m.Options, o) {
				return fmt.Errorf("mount at %s without %s: %v", m.Destination, o, m.Options)
			}
		}
	}
	libs, err := w.driverLibraries()
	if err != nil {
		return err
	}
	for _, path := range libs {
		if !seen[path] {
			return fmt.Errorf("%s is not mounted", path)
		}
	}
	return nil
}

// driverLibraries are the files in the driver root that bear the driver's version, as containers see them.
func (w *world) driverLibraries() ([]string, error) {
	cuda, err := filepath.Glob(w.root + "/usr/lib/*/libcuda.so.*.*")
	if err != nil || len(cuda) != 1 {
		return nil, fmt.Errorf("libcuda.so in %s: %v", w.root, cuda)
	}
	version := strings.TrimPrefix(filepath.Base(cuda[0]), "libcuda.so.")
	files, err := filepath.Glob(filepath.Dir(cuda[0]) + "/*.so." + version)
	for i := range files {
		files[i] = strings.TrimPrefix(files[i], w.root)
	}
	return files, err
}

func (w *world) hasHooks(spec *oci.Spec) error {
	var have []string
	ours, err := os.ReadFile(w.hook)
	if err != nil {
		return err
	}
	for _, h := range spec.Hooks.CreateContainer {
		st, err := os.Stat(h.Path)
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o111 != 0o111 {
			return fmt.Errorf("hook %s has mode %v", h.Path, st.Mode())
		}
		if there, err := os.ReadFile(h.Path); err != nil || !bytes.Equal(there, ours) {
			return fmt.Errorf("hook %s is not ours: %v", h.Path, err)
		}
		if len(h.Args) < 2 || h.Args[0] != "nvidia-cdi-hook" {
			return fmt.Errorf("hook with arguments %v", h.Args)
		}
		have = append(have, h.Args[1])
	}
	for _, name := range hooks {
		if !slices.Contains(have, name) {
			return fmt.Errorf("no hook %s among %v", name, have)
		}
	}
	return nil
}

// The library appends, and runtimes take the last: our "void" must come after what the image says, or NVIDIA's own runtime
// would add every GPU.
func hasEnv(spec *oci.Spec) error {
	var last string
	for _, e := range spec.Process.Env {
		if strings.HasPrefix(e, "NVIDIA_VISIBLE_DEVICES=") {
			last = e
		}
	}
	if last != "NVIDIA_VISIBLE_DEVICES=void" || !slices.Contains(spec.Process.Env, "PATH=/bin") {
		return fmt.Errorf("environment %v", spec.Process.Env)
	}
	return nil
}
