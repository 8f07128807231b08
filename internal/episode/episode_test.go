package episode_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/internal/episode"
)

// The first failure is said, others each 30 s, and the end once, with how long it took.
func TestEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e episode.Episode
		for range 2 {
			if so, ok := e.Ends(); ok {
				t.Errorf("%+v ended before anything failed", so)
			}
			said := 0
			for range 70 {
				if _, due := e.Fails(); due {
					said++
				}
				time.Sleep(time.Second)
			}
			if said != 3 {
				t.Errorf("%d lines in 70 s; want 3", said)
			}
			if so, ok := e.Ends(); !ok || so.For != 70*time.Second || so.Failures != 70 {
				t.Errorf("ended: %+v, %v; want 70 failures in 70 s", so, ok)
			}
			time.Sleep(episode.Every)
		}
	})
}

// What begins and ends again and again is a line of each, each 30 s.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e episode.Episode
		var begun, ended int
		for range 59 {
			if _, due := e.Fails(); due {
				begun++
			}
			if _, ok := e.Ends(); ok {
				ended++
			}
			time.Sleep(time.Second)
		}
		if begun != 2 || ended != 2 {
			t.Errorf("%d beginnings and %d ends in a minute; want 2 and 2", begun, ended)
		}
	})
}
