package tier

import (
	"runtime/debug"
	"testing"
)

// The version is that of this module, be it the program or a part of it, or of what replaces it.
func TestBuildVersion(t *testing.T) {
	shop := debug.Module{Path: "example.com/shop", Version: "v9.9.9"}
	for want, info := range map[string]*debug.BuildInfo{
		"unknown": nil,
		"v1.2.3":  {Main: shop, Deps: []*debug.Module{{Path: "example.com/other", Version: "v8.8.8"}, {Path: module, Version: "v1.2.3"}}},
		"v1.2.4":  {Main: debug.Module{Path: module, Version: "v1.2.4"}},
		"v1.2.5":  {Main: shop, Deps: []*debug.Module{{Path: module, Version: "v1.2.3", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.2.5"}}}},
		"(devel)": {Main: shop, Deps: []*debug.Module{{Path: module, Version: "v1.2.3", Replace: &debug.Module{Path: "../tandem"}}}},
	} {
		if got := versionIn(info); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
	if got := versionIn(&debug.BuildInfo{Main: shop}); got != "unknown" {
		t.Errorf("in a program without this module: got %s; want unknown", got)
	}
	if builtOf() == "unknown" {
		t.Error("this test does not know its module")
	}
}
