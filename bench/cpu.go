package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// processorTime is the processor time so far, in seconds, of each process of the fleet and, last, of Redis.
func processorTime(ctx context.Context, f fleet, server *redis.Client) ([]float64, error) {
	used, err := callAll[float64](ctx, f, "cpu", nil)
	if err != nil {
		return nil, err
	}
	info, err := server.Info(ctx, "cpu").Result()
	if err != nil {
		return nil, err
	}
	var seconds float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if slices.Contains([]string{"used_cpu_user", "used_cpu_sys"}, name) {
			part, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, err
			}
			seconds += part
		}
	}
	return append(used, seconds), nil
}

// cpuSeconds is the processor time of this process so far.
func cpuSeconds() (float64, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return (time.Duration(used.Utime.Nano()) + time.Duration(used.Stime.Nano())).Seconds(), nil
}
