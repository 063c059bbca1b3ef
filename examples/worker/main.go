// Worker is a small stream processor for the examples: it reads an endless stream of click events, counts them by
// country in tumbling windows and shows its progress at /metrics. Environment:
//
//	SEED                the stream; the same seed gives the same events (default 1)
//	EVENTS_PER_SECOND   how fast the stream flows (default 1000)
//	WINDOW_SECONDS      length of a window in event time (default 10)
//	PORT                of /healthz, /readyz and /metrics (default 8080)
//
// and two that make it fail, for demonstrations:
//
//	LEAK_MB_PER_SECOND  takes memory and never gives it back, until the kernel ends it
//	REQUIRE_ROOT        1: exits at once unless it runs as root
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

type config struct {
	seed         uint64
	ratePerSec   float64
	window       time.Duration
	port         int
	leakMBPerSec int
	requireRoot  bool
}

func main() {
	cfg, err := readConfig()
	if err == nil && cfg.requireRoot && os.Getuid() != 0 {
		err = errors.New("this program must run as root")
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		err = run(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run processes the stream and serves HTTP until ctx ends or the port cannot be had.
func run(ctx context.Context, cfg config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	counter := newCounter(cfg.window, os.Stdout)
	server := &http.Server{Addr: fmt.Sprintf(":%d", cfg.port), Handler: handler(counter), ReadHeaderTimeout: 5 * time.Second}
	go func() { cancel(server.ListenAndServe()) }()
	if cfg.leakMBPerSec > 0 {
		go leak(ctx, cfg.leakMBPerSec)
	}
	process(ctx, newStream(cfg.seed, cfg.ratePerSec), counter)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	grace, done := context.WithTimeout(context.Background(), 3*time.Second)
	defer done()
	return server.Shutdown(grace)
}

// leak touches every page it takes: memory that is only reserved does not count.
func leak(ctx context.Context, mbPerSec int) {
	var kept [][]byte
	for ctx.Err() == nil {
		chunk := make([]byte, 1<<20)
		for i := 0; i < len(chunk); i += os.Getpagesize() {
			chunk[i] = 1
		}
		kept = append(kept, chunk)
		time.Sleep(time.Second / time.Duration(mbPerSec))
	}
	fmt.Fprintf(os.Stderr, "leaked %d MB\n", len(kept))
}

func readConfig() (config, error) {
	var problems error
	number := func(name string, fallback, least, most uint64) uint64 {
		text, set := os.LookupEnv(name)
		if !set {
			return fallback
		}
		value, err := strconv.ParseUint(text, 10, 64)
		if err != nil || value < least || value > most {
			problems = errors.Join(problems, fmt.Errorf("%s is %q; expected a whole number from %d to %d", name, text, least, most))
		}
		return value
	}
	cfg := config{
		seed:         number("SEED", 1, 0, 1<<64-1),
		ratePerSec:   float64(number("EVENTS_PER_SECOND", 1000, 1, 1_000_000)),
		window:       time.Duration(number("WINDOW_SECONDS", 10, 1, 3600)) * time.Second,
		port:         int(number("PORT", 8080, 1, 65535)),
		leakMBPerSec: int(number("LEAK_MB_PER_SECOND", 0, 0, 10_000)),
		requireRoot:  os.Getenv("REQUIRE_ROOT") == "1",
	}
	return cfg, problems
}
