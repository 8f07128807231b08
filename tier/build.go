package tier

import (
	"cmp"
	"runtime/debug"
	"sync"
)

const module = "github.com/tandem-cache/tandem"

// builtOf is the version of this module in the running program; "unknown" if it was built without modules.
var builtOf = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionIn(info)
})

// versionIn finds the module's version. What a replace directive put in its place is told: a directory has none, and counts as "(devel)", as the
// main module does where it was not built from a tagged tree.
func versionIn(info *debug.BuildInfo) string {
	if info == nil {
		return "unknown"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != module {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		return cmp.Or(m.Version, "(devel)")
	}
	return "unknown"
}
