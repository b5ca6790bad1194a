// Command cdi judges the CDI specs of one node as a container runtime does, with the library that
// containerd and CRI-O carry. One line per check: "ok NAME" or "FAIL NAME: why".
//
//	cdi SPECS ROOT HOOK <CLAIMS
//
// SPECS is the folder of specs, ROOT the driver root (the host's / for devices and driver files), HOOK our
// hook as it was built. A line of CLAIMS: name, devices with a comma between them, one CDI id per device.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	oci "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
)

const module = "tags.cncf.io/container-device-interface"

type claim struct {
	name         string
	devices, ids []string
}

type world struct {
	specs, root, hook, release string
	cache                      *cdi.Cache
	claims                     []claim
	failed                     bool
}

func (w *world) check(name string, err error) {
	if err != nil {
		w.failed = true
		fmt.Printf("FAIL cdi %s: %s: %v\n", w.release, name, err)
		return
	}
	fmt.Printf("ok cdi %s: %s\n", w.release, name)
}

func release() string {
	info, _ := debug.ReadBuildInfo()
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "?"
}

func readClaims() ([]claim, error) {
	var all []claim
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 3 {
			return nil, fmt.Errorf("line %q", lines.Text())
		}
		c := claim{f[0], strings.Split(f[1], ","), f[2:]}
		if len(c.devices) != len(c.ids) {
			return nil, fmt.Errorf("claim %s: devices %v, ids %v", c.name, c.devices, c.ids)
		}
		for i := range c.ids {
			if !strings.HasSuffix(c.ids[i], "-"+c.devices[i]) {
				return nil, fmt.Errorf("claim %s: %s is not of device %s", c.name, c.ids[i], c.devices[i])
			}
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no claims")
	}
	return all, lines.Err()
}

// parse reads every file by itself: the cache would skip a bad one and go on.
func (w *world) parse() error {
	files, err := os.ReadDir(w.specs)
	if err != nil {
		return err
	}
	if len(files) != len(w.claims) {
		return fmt.Errorf("%d files for %d claims", len(files), len(w.claims))
	}
	for _, f := range files {
		path := filepath.Join(w.specs, f.Name())
		spec, err := cdi.ReadSpec(path, 0)
		if err != nil {
			return err
		}
		needed, err := cdi.MinimumRequiredVersion(spec.Spec)
		if err != nil {
			return err
		}
		if needed > spec.Version {
			return fmt.Errorf("%s says %s and uses what came with %s", f.Name(), spec.Version, needed)
		}
		if err := judge(path); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	return nil
}

// listed: the devices are those that the kubelet was told of, and no other.
func (w *world) listed() error {
	for path, errs := range w.cache.GetErrors() {
		return fmt.Errorf("%s: %v", path, errs)
	}
	var want []string
	for _, c := range w.claims {
		want = append(want, c.ids...)
	}
	have := w.cache.ListDevices()
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		return fmt.Errorf("there are %v, wanted %v", have, want)
	}
	return nil
}

func (w *world) inject(ids []string) (*oci.Spec, error) {
	spec := &oci.Spec{Version: oci.Version, Process: &oci.Process{Env: []string{"PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"}}}
	unresolved, err := w.cache.InjectDevices(spec, ids...)
	if err != nil {
		return nil, fmt.Errorf("%w (unresolved: %v)", err, unresolved)
	}
	return spec, nil
}

func (w *world) claimFits(c claim) error {
	spec, err := w.inject(c.ids)
	if err != nil {
		return err
	}
	return w.fits(spec, c.devices)
}

func (w *world) eachAlone() error {
	for _, c := range w.claims {
		for i := range c.ids {
			if err := w.claimFits(claim{c.name, c.devices[i : i+1], c.ids[i : i+1]}); err != nil {
				return fmt.Errorf("%s: %w", c.ids[i], err)
			}
		}
	}
	return nil
}

// together: a container may name several claims; what they share must not come twice.
func (w *world) together() error {
	var all claim
	for _, c := range w.claims {
		all.devices = append(all.devices, c.devices...)
		all.ids = append(all.ids, c.ids...)
	}
	return w.claimFits(all)
}

func (w *world) unknown() error {
	for _, id := range []string{w.claims[0].ids[0] + "0", "k8s.gpu.nvidia.com/claim=" + w.claims[0].devices[0]} {
		if _, err := w.inject([]string{w.claims[0].ids[0], id}); err == nil {
			return fmt.Errorf("%s was found", id)
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintf(os.Stderr, "usage: %s SPECS ROOT HOOK <CLAIMS\n", os.Args[0])
		os.Exit(2)
	}
	w := &world{specs: os.Args[1], root: os.Args[2], hook: os.Args[3], release: release()}
	var err error
	if w.claims, err = readClaims(); err == nil {
		w.cache, err = cdi.NewCache(cdi.WithSpecDirs(w.specs), cdi.WithAutoRefresh(false))
	}
	if err != nil {
		w.check("what it is told", err)
		os.Exit(1)
	}
	w.check("every spec is read and valid"+judgeNote, w.parse())
	w.check("the devices are those that the kubelet was told", w.listed())
	for _, c := range w.claims {
		w.check("container of claim "+c.name, w.claimFits(c))
	}
	w.check("each device alone", w.eachAlone())
	w.check("all claims in one container", w.together())
	w.check("unknown devices are not found", w.unknown())
	if w.failed {
		os.Exit(1)
	}
}
